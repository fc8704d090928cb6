// Package scaffold writes the files that `fsmesh init` makes: a component, a
// program that hosts it, containers, and credentials that nobody else has.
package scaffold

import (
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

//go:embed files
var files embed.FS

// Options are what a folder is made with.
type Options struct {
	// Version of the module of fsmesh that the program is built with, such as
	// v1.2.3. Defaults to v0.0.0, which goes with Replace.
	Version string
	// Replace is a folder with a clone of fsmesh to build with. Defaults to none.
	Replace string
}

// secrets are what .env has, each other in every folder.
var secrets = []string{"FSMESH_PASSWORD", "FSMESH_TOKEN", "REDIS_PASSWORD", "RABBITMQ_PASSWORD", "NATS_PASSWORD"}

// An ExistsError says which files are in the way.
type ExistsError struct {
	// Dir is the folder, Names are those of the files in it.
	Dir   string
	Names []string
}

// Error says what to do.
func (e *ExistsError) Error() string {
	return fmt.Sprintf("%q has %s already, and nothing is overwritten; give a new folder", e.Dir, strings.Join(e.Names, ", "))
}

// A file is one to be written.
type file struct {
	name, content string
	mode          os.FileMode
}

// Write makes the folder, if it is not there, and writes the files. It returns
// their names. If one of them is there it writes none and returns an *ExistsError.
func Write(dir string, o Options) ([]string, error) {
	all, err := contents(dir, o)
	if err != nil {
		return nil, err
	}
	var there []string
	for _, f := range all {
		if _, err := os.Lstat(filepath.Join(dir, f.name)); err == nil {
			there = append(there, f.name)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("look into the folder: %w", err)
		}
	}
	if len(there) > 0 {
		return nil, &ExistsError{dir, there}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("make the folder: %w", err)
	}
	var names []string
	for _, f := range all {
		if err := create(filepath.Join(dir, f.name), f); err != nil {
			return names, fmt.Errorf("write a file: %w", err)
		}
		names = append(names, f.name)
	}
	return names, nil
}

// create writes a file that is not there, also if one has come meanwhile.
func create(path string, f file) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
	if err != nil {
		return err
	}
	_, err = out.WriteString(f.content)
	return errors.Join(err, out.Close())
}

func contents(dir string, o Options) ([]file, error) {
	module, err := module(dir, o)
	if err != nil {
		return nil, err
	}
	out := []file{{"go.mod", module, 0o666}, {".env", environment(), 0o600}}
	for name, from := range map[string]string{
		"order.yaml": "order.yaml", "main.go": "main.go.txt", "compose.yaml": "compose.yaml", "Dockerfile": "Dockerfile", "README.md": "README.md.txt",
		".gitignore": "gitignore.txt", ".dockerignore": "dockerignore.txt",
	} {
		b, err := files.ReadFile("files/" + from)
		if err != nil {
			return nil, err
		}
		out = append(out, file{name, string(b), 0o666})
	}
	return out, nil
}

// notInModule are characters that the path of a module does not have.
var notInModule = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// module is go.mod. The module has the name of the folder.
func module(dir string, o Options) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	name := strings.Trim(notInModule.ReplaceAllString(filepath.Base(path), "-"), ".-")
	if name == "" {
		name = "orders"
	}
	version := o.Version
	if version == "" {
		version = "v0.0.0"
	}
	text := "module " + name + "\n\ngo 1.26.0\n\nrequire github.com/fsmesh/fsmesh " + version + "\n"
	if o.Replace != "" {
		clone, err := filepath.Abs(o.Replace)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf("\nreplace github.com/fsmesh/fsmesh => %q\n", clone)
	}
	return text, nil
}

// environment is .env, with 130 random bits in each secret.
func environment() string {
	var b strings.Builder
	b.WriteString("# Made for this folder. Do not share it, and do not put it into a repository.\n")
	for _, name := range secrets {
		fmt.Fprintf(&b, "%s=%s\n", name, rand.Text())
	}
	return b.String()
}
