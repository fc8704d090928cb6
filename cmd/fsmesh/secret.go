package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// whoMay is what the help of all that serves pages says of credentials.
const whoMay = `
Another address than one of this machine needs a password for people
(FSMESH_PASSWORD, FSMESH_PASSWORD_FILE or --password-file) or a token for scripts
(FSMESH_TOKEN, FSMESH_TOKEN_FILE or --token-file), or --insecure. Where one is
set it is asked for on every address.`

const tokenOfBoth = "file that holds the token: scripts send it to the API, and a mesh of others asks for it (default: FSMESH_TOKEN or FSMESH_TOKEN_FILE in the environment)"

// maxSecret bounds the file of a secret, in bytes: a path that is mistaken for
// one is told and not read.
const maxSecret = 64 << 10

// secret is what a file given by a flag holds, else what the environment does:
// NAME has it, or NAME_FILE the path of its file. There is no flag for the secret
// itself, everybody on a machine sees arguments. It is "" where there is none.
func (p *program) secret(name, flag, file string) (string, error) {
	value, from := p.env(name), p.env(name+"_FILE")
	switch {
	case file != "":
		return readSecret("--"+flag, file)
	case value != "" && from != "":
		return "", usage("%s and %s_FILE are both set in the environment; unset one of them", name, name)
	case from != "":
		return readSecret(name+"_FILE", from)
	}
	return value, nil
}

// readSecret reads a file and takes the space around its content off. What is in
// it is in no error.
func readSecret(what, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s %q: %w; give the path of a file that this user may read", what, path, unwrapPath(err))
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return "", fmt.Errorf("%s %q: %w", what, path, unwrapPath(err))
	}
	secret := strings.TrimSpace(string(b))
	switch {
	case len(b) > maxSecret:
		return "", usage("%s %q has more than %d bytes, which is no password and no token", what, path, maxSecret)
	case secret == "":
		return "", usage("%s %q is empty; put the password or token in it", what, path)
	}
	return secret, nil
}

// token is that of a mesh, and of the API of a program that serves one.
func (p *program) token(file string) (string, error) {
	return p.secret("FSMESH_TOKEN", "token-file", file)
}
