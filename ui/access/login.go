package access

import (
	_ "embed"
	"html/template"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
)

//go:embed login.html
var loginPage string

var loginTemplate = template.Must(template.New("login").Parse(loginPage))

// maxForm bounds the login form, in bytes.
const maxForm = 16 << 10

// login shows the form, and takes it.
func (g *Guard) login(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		g.showLogin(w, http.StatusOK, r.URL.Query().Get("next"), "")
	case http.MethodPost:
		g.takeLogin(w, r)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		g.refuse(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "the login takes GET and POST")
	}
}

func (g *Guard) takeLogin(w http.ResponseWriter, r *http.Request) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		g.refuse(w, r, http.StatusUnsupportedMediaType, "unsupported_media_type", "the login takes a form (application/x-www-form-urlencoded)")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if r.ParseForm() != nil {
		g.refuse(w, r, http.StatusBadRequest, "bad_body", "the login form cannot be read")
		return
	}
	next := r.PostForm.Get("next")
	address := r.RemoteAddr
	if host, _, err := net.SplitHostPort(address); err == nil {
		address = host
	}
	if !g.attempts.allowed(address, g.c.Now()) {
		g.c.Logger.Warn("login refused: too many wrong passwords", "address", address)
		g.c.Refused("too_many_attempts")
		w.Header().Set("Retry-After", "5")
		g.showLogin(w, http.StatusTooManyRequests, next, "Too many wrong ones. Wait a few seconds.")
		return
	}
	if secret, name := g.secret(); !matches(secret, r.PostForm.Get("password")) {
		g.c.Logger.Warn("login refused: wrong "+name, "address", address)
		g.c.Refused("wrong_password")
		g.showLogin(w, http.StatusUnauthorized, next, "That is not the "+name+".")
		return
	}
	g.attempts.right(address)
	http.SetCookie(w, &http.Cookie{
		Name: CookieName, Value: g.sessions.begin(g.c.Now(), g.c.SessionAge), Path: "/", MaxAge: int(g.c.SessionAge.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure(r),
	})
	redirect(w, local(next))
}

// LogOut is where a post ends the session of who sends it, relative to the
// server's root, for ui.Config.LogOut; "" where nobody logs in.
func (g *Guard) LogOut() string {
	if !g.HasCredentials() {
		return ""
	}
	return "logout"
}

// logout ends the session. It is a post, so that no link can do it.
func (g *Guard) logout(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		g.refuse(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "the logout takes POST")
		return
	}
	if c, err := r.Cookie(CookieName); err == nil {
		g.sessions.end(c.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: CookieName, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure(r)})
	redirect(w, "login")
}

// secure reports whether the browser is connected by TLS: to this server, or to
// the proxy before it.
func secure(r *http.Request) bool {
	return r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"
}

func (g *Guard) showLogin(w http.ResponseWriter, status int, next, fault string) {
	_, name := g.secret()
	showPage(w, status, map[string]string{"Next": local(next), "Fault": fault, "Secret": name})
}

// showPage shows the login form, or why somebody is refused and where to go on.
func showPage(w http.ResponseWriter, status int, data map[string]string) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+styleHash+"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = loginTemplate.Execute(w, data) // who asked may be gone
}

// local keeps where to go after the login on this server: a path without a host,
// relative to the login page. The prefix under which the server is mounted is not
// known here.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || strings.ContainsAny(next, "\\\r\n\t") {
		return "./"
	}
	path := strings.TrimLeft(u.EscapedPath(), "/")
	for part := range strings.SplitSeq(path, "/") {
		if part == ".." || strings.Contains(part, ":") {
			return "./"
		}
	}
	out := "./" + path
	if u.RawQuery != "" {
		out += "?" + u.RawQuery
	}
	return out
}

// up leads from a path to the root of the server.
func up(path string) string {
	n := strings.Count(strings.TrimPrefix(path, "/"), "/")
	if n == 0 {
		return "./"
	}
	return strings.Repeat("../", n)
}

func escape(s string) string { return url.QueryEscape(s) }

// redirect leads on after a post.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
}
