package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/fsmesh/fsmesh/internal/nearest"
)

// A meshContext is where a mesh is and how to get in, under a name.
type meshContext struct {
	URL       string `json:"url,omitempty"`
	Mesh      string `json:"mesh,omitempty"`
	TokenFile string `json:"tokenFile,omitempty"`
}

// contexts are those of a user, as they are in the file.
type contexts struct {
	Selected string                 `json:"selected,omitempty"`
	Contexts map[string]meshContext `json:"contexts"`
}

// contextName is what a context may be called: what needs no quotes anywhere.
var contextName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// contextFile is where the contexts are kept.
func (p *program) contextFile() (string, error) {
	folder := p.env("XDG_CONFIG_HOME")
	if !filepath.IsAbs(folder) { // one that is relative has to be ignored
		home := p.env("HOME")
		if home == "" {
			return "", errors.New("there is no folder for contexts: neither XDG_CONFIG_HOME nor HOME is set")
		}
		folder = filepath.Join(home, ".config")
	}
	return filepath.Join(folder, "fsmesh", "contexts.json"), nil
}

// readContexts reads the file; where there is none there are no contexts.
func (p *program) readContexts() (*contexts, error) {
	c := &contexts{Contexts: map[string]meshContext{}}
	path, err := p.contextFile()
	if err != nil {
		return c, err
	}
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return c, nil
	case err != nil:
		return c, fmt.Errorf("read contexts from %q: %w", path, unwrapPath(err))
	}
	if err := json.Unmarshal(b, c); err != nil {
		return c, fmt.Errorf("%q is no file of contexts; mend it or delete it: %w", path, err)
	}
	if c.Contexts == nil {
		c.Contexts = map[string]meshContext{}
	}
	return c, nil
}

// writeContexts replaces the file as a whole, readable by its owner only: a URL
// may hold a password.
func (p *program) writeContexts(c *contexts) error {
	path, err := p.contextFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the folder for contexts: %w", err)
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	// A temporary file is made with mode 0600.
	f, err := os.CreateTemp(filepath.Dir(path), "contexts-*")
	if err != nil {
		return fmt.Errorf("write contexts: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write contexts: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

func (c *contexts) names() []string { return slices.Sorted(maps.Keys(c.Contexts)) }

// find returns a context, or an error that names the nearest.
func (c *contexts) find(name string) (meshContext, error) {
	if found, ok := c.Contexts[name]; ok {
		return found, nil
	}
	if near, ok := nearest.Match(name, c.names()); ok {
		return meshContext{}, notFound("no context %q; did you mean %q?", name, near)
	}
	if len(c.Contexts) == 0 {
		return meshContext{}, notFound("no context %q; there are none yet (fsmesh context add NAME --url URL makes one)", name)
	}
	return meshContext{}, notFound("no context %q; there are %s", name, strings.Join(c.names(), ", "))
}

// context returns the context to use: the one that is named by the flag, else
// by the environment, else the selected one. Without any it is empty.
func (p *program) context(flag string) (meshContext, error) {
	name := flag
	if name == "" {
		name = p.env("FSMESH_CONTEXT")
	}
	if _, err := p.contextFile(); err != nil && name == "" {
		return meshContext{}, nil // there is no place for one, and nobody asked
	}
	c, err := p.readContexts()
	if err != nil {
		return meshContext{}, err
	}
	if name == "" {
		name = c.Selected
	}
	if name == "" {
		return meshContext{}, nil
	}
	return c.find(name)
}
