package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each way to give a secret that can't be one is refused before anything starts,
// and what it holds is not repeated.
func TestSecretsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		env    map[string]string
		args   string
		status int
		want   string
	}{
		{"both in the environment", map[string]string{"FSMESH_PASSWORD": "s3cr3t-password", "FSMESH_PASSWORD_FILE": "x"}, "demo", exitUsage, "FSMESH_PASSWORD and FSMESH_PASSWORD_FILE are both set"},
		{"both tokens in the environment", map[string]string{"FSMESH_TOKEN": "s3cr3t-token", "FSMESH_TOKEN_FILE": "x"}, "dashboard", exitUsage, "FSMESH_TOKEN and FSMESH_TOKEN_FILE are both set"},
		{"both tokens, for a command", map[string]string{"FSMESH_TOKEN": "s3cr3t-token", "FSMESH_TOKEN_FILE": "x"}, "ls", exitUsage, "are both set"},
		{"both tokens, for a node", map[string]string{"FSMESH_TOKEN": "s3cr3t-token", "FSMESH_TOKEN_FILE": "x"}, "node", exitUsage, "are both set"},
		{"short password", map[string]string{"FSMESH_PASSWORD": "s3cr3t"}, "demo", exitUsage, "the password has 6 bytes; at least 8 are needed"},
		{"short token", map[string]string{"FSMESH_TOKEN": "s3cr3t"}, "demo", exitUsage, "the token has 6 bytes; at least 8 are needed"},
		{"no file", map[string]string{"FSMESH_PASSWORD_FILE": "nowhere"}, "demo", exitNotFound, `FSMESH_PASSWORD_FILE "nowhere": no such file or directory`},
		{"a folder", nil, "demo --password-file testdata", exitFailed, `--password-file "testdata": is a directory`},
		{"empty file", nil, "demo --password-file " + secretFile(t, " \n"), exitUsage, "is empty; put the password or token in it"},
		{"large file", nil, "demo --token-file " + secretFile(t, strings.Repeat("s3cr3t", maxSecret)), exitUsage, "has more than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := fsmeshWith(t.Context(), "", tt.env, strings.Fields(tt.args)...)
			if got.status != tt.status || !strings.Contains(got.err, tt.want) {
				t.Errorf("exit status %d, %q; want %d and %q", got.status, got.err, tt.status, tt.want)
			}
			if strings.Contains(got.err+got.out, "s3cr3t") {
				t.Errorf("the secret is repeated: %q", got.err)
			}
		})
	}
}

// With credentials every address asks for them, but for the two that a supervisor
// looks at, and none of them is in the log.
func TestCredentials(t *testing.T) {
	t.Parallel()
	p := startProgram(t, map[string]string{"FSMESH_TOKEN_FILE": secretFile(t, "s3cr3t-token\n")},
		"serve", "testdata/order.yaml", "--listen", "0.0.0.0:0", "--password-file", secretFile(t, "s3cr3t password\n"))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(status int, method, path, form string, headers ...string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, p.address+path, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		if form != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		res, err := browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != status {
			t.Fatalf("%s %s: status %d, %v, want %d: %s", method, path, res.StatusCode, err, status, b)
		}
		return string(b)
	}
	for _, path := range []string{"", "instances", "live", "api/instances", "api/openapi.json", "health", "metrics", "assets/fsmesh.css", "nowhere"} {
		ask(http.StatusUnauthorized, "GET", path, "")
		ask(http.StatusUnauthorized, "GET", path, "", "Authorization", "Bearer s3cr3t-tokem")
	}
	for _, path := range []string{"healthz", "readyz"} {
		ask(http.StatusOK, "GET", path, "")
	}
	for _, path := range []string{"", "api/instances", "metrics"} {
		ask(http.StatusOK, "GET", path, "", "Authorization", "Bearer s3cr3t-token")
	}
	wants(t, "the login", ask(http.StatusOK, "GET", "machine?component=Orders&machine=Order", "", "Accept", "text/html"), ">Password</label>", "./machine?component=Orders")
	wants(t, "a wrong password", ask(http.StatusUnauthorized, "POST", "login", "password=wrong+s3cr3t"), "That is not the password.")
	ask(http.StatusForbidden, "POST", "login", "password=s3cr3t+password", "Sec-Fetch-Site", "cross-site")
	wants(t, "after the login", ask(http.StatusOK, "POST", "login", "password=s3cr3t+password&next="+neturl.QueryEscape("/machine?component=Orders&machine=Order")), "Orders")
	ask(http.StatusOK, "GET", "api/instances", "")
	ask(http.StatusForbidden, "POST", "instance", "id=x&event=PAY", "Origin", "https://evil.example")
	wants(t, "what was refused", ask(http.StatusOK, "GET", "metrics", ""), `fsmesh_http_refused_total{reason="unauthorized"} 18`,
		`fsmesh_http_refused_total{reason="wrong_password"} 1`, `fsmesh_http_refused_total{reason="cross_origin"} 2`)
	if log := p.stderr.String(); strings.Contains(log, "s3cr3t") || strings.Contains(log, "insecure") {
		t.Errorf("the log has a secret, or says that there is none:\n%s", log)
	}
}
