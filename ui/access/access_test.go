package access

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	password = "correct horse"
	token    = "token-0123456789"
)

// A site is a guarded server, and a browser without redirects.
type site struct {
	refused []string // the codes, in order
	t       *testing.T
	server  *httptest.Server
	browser *http.Client
	log     bytes.Buffer
}

func open(t *testing.T, c Config, prefix string) *site {
	t.Helper()
	s := &site{t: t}
	c.Logger = slog.New(slog.NewTextHandler(&s.log, nil))
	c.Refused = func(code string) { s.refused = append(s.refused, code) }
	g, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	h := g.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "inside %s", r.URL.Path) }))
	s.server = httptest.NewServer(http.StripPrefix(prefix, h))
	t.Cleanup(s.server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.browser = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(s.browser.CloseIdleConnections)
	return s
}

func (s *site) do(method, path, form string, headers ...string) (status int, body string, h http.Header) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+path, strings.NewReader(form))
	if err != nil {
		s.t.Fatal(err)
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if r.Header.Set(headers[i], headers[i+1]); headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	res, err := s.browser.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

func (s *site) want(status int, method, path, form string, headers ...string) (string, http.Header) {
	s.t.Helper()
	got, body, h := s.do(method, path, form, headers...)
	if got != status {
		s.t.Fatalf("%s %s: got %d %s, want %d", method, path, got, body, status)
	}
	return body, h
}

func TestCheckListen(t *testing.T) {
	for address, loopback := range map[string]bool{
		"127.0.0.1:3000": true, "localhost:0": true, "[::1]:3000": true, "127.8.9.1": true, "LOCALHOST": true,
		"0.0.0.0:3000": false, ":3000": false, "[::]:3000": false, "192.168.1.2:80": false, "example.org:80": false, "": false, "localhost.evil.example:80": false,
	} {
		if got := IsLoopback(address); got != loopback {
			t.Errorf("IsLoopback(%q): got %v", address, got)
		}
		err := CheckListen(address, false, false)
		if open, ok := errors.AsType[*OpenError](err); ok == loopback || ok && (open.Address != address || !strings.Contains(err.Error(), "set a password or a token")) {
			t.Errorf("CheckListen(%q): got %v", address, err)
		}
		if CheckListen(address, true, false) != nil || CheckListen(address, false, true) != nil {
			t.Errorf("CheckListen(%q) refuses with credentials, or where it is meant", address)
		}
	}
}

// TestPeopleAreToldInWords has refusals that people read in a browser.
func TestPeopleAreToldInWords(t *testing.T) {
	s := open(t, Config{Password: password, Hosts: []string{"shop.example"}}, "")
	const html = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
	for _, x := range []struct {
		status             int
		method, path, form string
		says, heading, way string
		headers            []string
	}{
		{403, "GET", "/", "", "The host &#34;evil.example&#34; is not one of this server&#39;s names", "Refused", "", []string{"Host", "evil.example"}},
		{403, "POST", "/create", "x=1", "This request comes from another site", "Refused", `href="./"`, []string{"Sec-Fetch-Site", "cross-site"}},
		{401, "POST", "/create", "x=1", "401. This server needs a token", "Not logged in", `href="./"`, nil},
		{401, "POST", "/a/b", "x=1", "This server needs a token", "Not logged in", `href="../"`, nil},
		{405, "GET", "/logout", "", "405. The logout takes POST.", "GET is not allowed here", `href="./"`, nil},
	} {
		body, h := s.want(x.status, x.method, x.path, x.form, append([]string{"Accept", html}, x.headers...)...)
		if !strings.Contains(body, "<h1>"+x.heading+"</h1>") || !strings.Contains(body, x.way) || strings.Contains(body, "href=") != (x.way != "") {
			t.Errorf("%s %s: got %s, want the heading %q and the way on %s", x.method, x.path, body, x.heading, x.way)
		}
		if !strings.HasPrefix(h.Get("Content-Type"), "text/html") || !strings.Contains(body, x.says) || strings.Contains(body, "<form") || strings.Contains(body, `"code"`) {
			t.Errorf("%s %s: got %s, want a page that says %q", x.method, x.path, body, x.says)
		}
	}
}

func TestHostIsChecked(t *testing.T) {
	s := open(t, Config{Hosts: []string{"shop.example"}, AllowWith: "--names"}, "")
	for _, host := range []string{"localhost", "127.0.0.1:99", "[::1]:3000", "shop.example", "SHOP.example.:80"} {
		s.want(200, "GET", "/", "", "Host", host)
	}
	for _, host := range []string{"evil.example", "shop.example.evil.example", "localhost.evil.example:3000", "10.0.0.1"} {
		body, _ := s.want(403, "GET", "/", "", "Host", host)
		if !strings.Contains(body, `"code":"host_not_allowed"`) || !strings.Contains(body, "allow the name (--names)") {
			t.Errorf("%s: %s", host, body)
		}
	}
	open(t, Config{AnyHost: true}, "").want(200, "GET", "/", "", "Host", "evil.example")
}

func TestOtherSitesAreRefused(t *testing.T) {
	s := open(t, Config{}, "")
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "same-site", "Origin", "http://localhost:1"},
	} {
		body, _ := s.want(403, "POST", "/api/x", "", headers...)
		if !strings.Contains(body, `"code":"cross_origin"`) {
			t.Errorf("%v: %s", headers, body)
		}
	}
	s.want(200, "POST", "/api/x", "", "Sec-Fetch-Site", "same-origin")
	s.want(200, "POST", "/api/x", "")
	s.want(200, "GET", "/api/x", "", "Sec-Fetch-Site", "cross-site") // a link
}

func TestToken(t *testing.T) {
	s := open(t, Config{Token: token}, "")
	s.want(200, "GET", "/api/x", "", "Authorization", "Bearer "+token)
	s.want(200, "GET", "/api/x", "", "Authorization", "bearer "+token)
	s.want(200, "GET", "/healthz", "")
	for _, given := range []string{"", "Bearer", "Bearer ", "Bearer " + token + "x", "Bearer " + token[:5], "Basic " + token} {
		body, h := s.want(401, "GET", "/api/x", "", "Authorization", given)
		if !strings.Contains(h.Get("WWW-Authenticate"), "Bearer") || strings.Contains(body, "0123") {
			t.Errorf("%q: %v %s", given, h, body)
		}
	}
	// Without a password people log in with the token.
	if page, _ := s.want(200, "GET", "/login", ""); !strings.Contains(page, ">Token</label>") {
		t.Errorf("the login does not ask for a token: %s", page)
	}
	if page, _ := s.want(401, "POST", "/login", "password="+token+"x"); !strings.Contains(page, "That is not the token.") {
		t.Errorf("after a wrong token: %s", page)
	}
	s.want(303, "POST", "/login", "password="+token)
	s.want(200, "GET", "/x", "")
}

func TestLogin(t *testing.T) {
	for _, prefix := range []string{"", "/fleet"} {
		now := time.Now()
		s := open(t, Config{Password: password, Token: token, SessionAge: time.Hour, Now: func() time.Time { return now }}, prefix)
		_, h := s.want(303, "GET", prefix+"/machine/x?a=1", "", "Accept", "text/html,*/*")
		if h.Get("Location") != "../login?next=%2Fmachine%2Fx%3Fa%3D1" {
			t.Errorf("led to %q", h.Get("Location"))
		}
		s.want(401, "GET", prefix+"/api/x", "")
		s.want(401, "POST", prefix+"/api/x", "", "Accept", "text/html")
		page, h := s.want(200, "GET", prefix+"/login?next=%2Fmachine%2Fx%3Fa%3D1", "")
		if !strings.Contains(page, `value="./machine/x?a=1"`) || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("page: %v %s", h, page)
		}
		page, _ = s.want(401, "POST", prefix+"/login", "password=wrong+horse")
		if !strings.Contains(page, `role="alert"`) || strings.Contains(page, "wrong horse") {
			t.Errorf("after a wrong password: %s", page)
		}
		s.want(415, "POST", prefix+"/login", "password=x", "Content-Type", "text/plain")
		s.want(400, "POST", prefix+"/login", "password="+strings.Repeat("x", maxForm))
		s.want(403, "POST", prefix+"/login", "password=correct+horse", "Sec-Fetch-Site", "cross-site")
		_, h = s.want(303, "POST", prefix+"/login", "password=correct+horse&next=%2Fmachine%2Fx%3Fa%3D1")
		if h.Get("Location") != "./machine/x?a=1" {
			t.Errorf("led to %q", h.Get("Location"))
		}
		cookie := h.Get("Set-Cookie")
		for _, want := range []string{CookieName + "=", "HttpOnly", "SameSite=Strict", "Max-Age=3600"} {
			if !strings.Contains(cookie, want) {
				t.Errorf("cookie %q lacks %s", cookie, want)
			}
		}
		s.want(200, "GET", prefix+"/api/x", "")
		now = now.Add(time.Hour)
		s.want(401, "GET", prefix+"/api/x", "") // the session has ended
		s.want(303, "POST", prefix+"/login", "password=correct+horse")
		s.want(200, "GET", prefix+"/api/x", "")
		stolen := s.browser.Jar
		s.want(405, "GET", prefix+"/logout", "")
		s.want(303, "POST", prefix+"/logout", "")
		s.browser.Jar = stolen
		s.want(401, "GET", prefix+"/api/x", "")
		if log := s.log.String(); strings.Contains(log, "horse") || strings.Contains(log, token) || !strings.Contains(log, "wrong password") {
			t.Errorf("log: %s", log)
		}
	}
}

// An ended session is ended for whoever has the cookie.
func TestLogoutEndsTheSession(t *testing.T) {
	s := open(t, Config{Password: password}, "")
	_, h := s.want(303, "POST", "/login", "password=correct+horse")
	value, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
	s.browser.Jar = nil
	s.want(200, "GET", "/x", "", "Cookie", value)
	s.want(303, "POST", "/logout", "", "Cookie", value)
	s.want(401, "GET", "/x", "", "Cookie", value)
}

func TestTryingPasswordsIsSlow(t *testing.T) {
	now := time.Now()
	s := open(t, Config{Password: password, Now: func() time.Time { return now }}, "")
	for range maxAttempts {
		s.want(401, "POST", "/login", "password=x")
	}
	_, h := s.want(429, "POST", "/login", "password=correct+horse")
	if h.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	now = now.Add(attemptEvery)
	s.want(303, "POST", "/login", "password=correct+horse")
	s.want(401, "POST", "/login", "password=x") // counted anew
}

// Where the login leads to stays on this server.
func TestNextIsLocal(t *testing.T) {
	for next, want := range map[string]string{
		"": "./", "/": "./", "/a/b?c=d": "./a/b?c=d", "//evil.example/x": "./", "https://evil.example": "./", "\\\\evil.example": "./",
		"javascript:alert(1)": "./", "/../../x": "./", "/javascript:alert(1)": "./", "///evil.example": "./evil.example", "/a\r\nb": "./", "./a": "././a",
	} {
		if got := local(next); got != want {
			t.Errorf("local(%q): got %q, want %q", next, got, want)
		}
	}
}

func FuzzNext(f *testing.F) {
	for _, s := range []string{"/a", "//evil", "https://evil", "/\\evil", "/%2f%2fevil", "/a?b#c"} {
		f.Add(s)
	}
	base, err := url.Parse("http://server.example/fleet/login")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, next string) {
		u, err := base.Parse(local(next))
		if err != nil || u.Host != "server.example" || u.Scheme != "http" || !strings.HasPrefix(u.Path, "/fleet/") {
			t.Fatalf("%q leads to %v, %v", next, u, err)
		}
	})
}

// What is refused is told, by its code; what is let in, and who is led to the login,
// is not.
func TestRefusalsAreTold(t *testing.T) {
	s := open(t, Config{Password: password, Hosts: []string{"shop.example"}}, "")
	s.want(200, "GET", "/healthz", "")
	s.want(303, "GET", "/x", "", "Accept", "text/html")
	s.want(403, "GET", "/x", "", "Host", "evil.example")
	s.want(403, "POST", "/x", "a=b", "Sec-Fetch-Site", "cross-site")
	s.want(401, "GET", "/api/x", "")
	for range maxAttempts {
		s.want(401, "POST", "/login", "password=x")
	}
	s.want(429, "POST", "/login", "password=x")
	s.want(415, "POST", "/login", "x", "Content-Type", "text/plain")
	want := slices.Concat([]string{"host_not_allowed", "cross_origin", "unauthorized"}, slices.Repeat([]string{"wrong_password"}, maxAttempts), []string{"too_many_attempts", "unsupported_media_type"})
	if !slices.Equal(s.refused, want) {
		t.Errorf("told were %v, want %v", s.refused, want)
	}
}

func TestShortSecretsAreRefused(t *testing.T) {
	_, err := New(Config{Password: "short", Token: "tiny"})
	if err == nil || !strings.Contains(err.Error(), "password") || !strings.Contains(err.Error(), "token") || strings.Contains(err.Error(), "short") && !strings.Contains(err.Error(), "bytes") {
		t.Errorf("got %v", err)
	}
	g, err := New(Config{Password: password, Token: token})
	if err != nil || !g.HasCredentials() {
		t.Fatal(err)
	}
	if dump := fmt.Sprintf("%+v", g); strings.Contains(dump, password) || strings.Contains(dump, token) {
		t.Error("a dump of the guard has a secret in it")
	}
}

// Secrets are compared by what takes one time for all, and by nothing else: how long
// it takes can't be told apart by a test that has to hold on a busy machine, so it
// is what is written that is checked.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	file, err := parser.ParseFile(gotoken.NewFileSet(), "guard.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var called, compared []string
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "matches" {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				called = append(called, types.ExprString(n.Fun))
			case *ast.BinaryExpr:
				compared = append(compared, types.ExprString(n))
			}
			return true
		})
	}
	if want := []string{"sha256.Sum256", "[]byte", "subtle.ConstantTimeCompare"}; !slices.Equal(called, want) {
		t.Errorf("it calls %v, want %v", called, want)
	}
	if want := []string{"want == nil", "subtle.ConstantTimeCompare(want[:], have[:]) == 1"}; !slices.Equal(compared, want) {
		t.Errorf("it compares %v, want %v", compared, want)
	}
}

// Comparing looks at everything, whatever is given.
func TestMatches(t *testing.T) {
	want := digest(password)
	for given, ok := range map[string]bool{password: true, "": false, password + "x": false, password[1:]: false} {
		if got := matches(want, given); got != ok {
			t.Errorf("matches(%q): got %v", given, got)
		}
	}
	if matches(nil, "") {
		t.Error("nothing matches where there is no secret")
	}
}
