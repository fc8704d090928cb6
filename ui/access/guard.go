package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is what a Guard is made from. The zero value lets everybody in who
// reaches the server by a name of this machine and not from another site.
type Config struct {
	// Password is asked for by the login page. Defaults to none.
	Password string
	// Token is what scripts send, as "Authorization: Bearer TOKEN". Without a
	// password the login page asks for it. Defaults to none.
	Token string
	// Hosts are names and addresses under which the server may be reached
	// besides loopback ones, without a port.
	Hosts []string
	// AllowWith is the setting that Hosts come from, such as --allow-host: who
	// comes under another name reads of it. Defaults to not naming one.
	AllowWith string
	// AnyHost does not look at the name. Defaults to looking at it while there
	// are no credentials, and not with credentials: who has none gets nothing
	// then, whatever the name.
	AnyHost bool
	// Open are paths that need no credentials. Defaults to /healthz and /readyz.
	Open []string
	// SessionAge is how long a login lasts. Defaults to 12 hours.
	SessionAge time.Duration
	// Now tells the time. Defaults to time.Now.
	Now func() time.Time
	// Refused, if set, is told the code of each refusal, which is one of a few
	// words. It must not block.
	Refused func(code string)
	// Logger defaults to slog.Default(). Nothing that is secret goes there.
	Logger *slog.Logger
}

// A Guard lets requests through or not. It is used by many goroutines.
type Guard struct {
	c               Config
	password, token *[sha256.Size]byte // nil where there is none
	origin          *http.CrossOriginProtection
	sessions        sessions
	attempts        attempts
}

// allow names the setting, as far as there is one.
func (c *Config) allow() string {
	if c.AllowWith == "" {
		return ""
	}
	return " (" + c.AllowWith + ")"
}

// MinSecret is the least length of a password or token, in bytes.
const MinSecret = 8

// New returns a guard. It fails if a secret is too short.
func New(c Config) (*Guard, error) {
	var errs []error
	for name, secret := range map[string]string{"password": c.Password, "token": c.Token} {
		if secret != "" && len(secret) < MinSecret {
			errs = append(errs, fmt.Errorf("the %s has %d bytes; at least %d are needed", name, len(secret), MinSecret))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if c.Open == nil {
		c.Open = []string{"/healthz", "/readyz"}
	}
	if c.SessionAge <= 0 {
		c.SessionAge = 12 * time.Hour
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Refused == nil {
		c.Refused = func(string) {}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	g := &Guard{
		c: c, password: digest(c.Password), token: digest(c.Token), origin: http.NewCrossOriginProtection(),
		sessions: sessions{byHash: map[[sha256.Size]byte]time.Time{}}, attempts: attempts{of: map[string]*attempt{}},
	}
	g.c.Password, g.c.Token = "", "" // a dump of the guard has no secret in it
	return g, nil
}

// digest makes secrets of one length, so that comparing them takes one time.
func digest(secret string) *[sha256.Size]byte {
	if secret == "" {
		return nil
	}
	d := sha256.Sum256([]byte(secret))
	return &d
}

// matches compares in a time that does not depend on either.
func matches(want *[sha256.Size]byte, given string) bool {
	have := sha256.Sum256([]byte(given))
	if want == nil {
		return false
	}
	return subtle.ConstantTimeCompare(want[:], have[:]) == 1
}

// secret is what people log in with.
func (g *Guard) secret() (digest *[sha256.Size]byte, name string) {
	if g.password == nil {
		return g.token, "token"
	}
	return g.password, "password"
}

// HasCredentials reports whether a password or a token is asked for.
func (g *Guard) HasCredentials() bool { return g.password != nil || g.token != nil }

// Wrap puts the guard before a handler. The guard itself answers /login and
// /logout where something is asked for.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.hostAllowed(r.Host) {
			g.refuse(w, r, http.StatusForbidden, "host_not_allowed",
				fmt.Sprintf("the host %q is not one of this server's names; use localhost, or allow the name%s", clip(r.Host), g.c.allow()))
			return
		}
		if err := g.origin.Check(r); err != nil {
			g.refuse(w, r, http.StatusForbidden, "cross_origin", "this request comes from another site; send it from a page of this server, or from a script")
			return
		}
		if g.HasCredentials() {
			switch r.URL.Path {
			case "/login":
				g.login(w, r)
				return
			case "/logout":
				g.logout(w, r)
				return
			}
		}
		if !g.known(r) && !slices.Contains(g.c.Open, r.URL.Path) {
			g.unknown(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostAllowed compares names without their port: the same name on another port
// is the same machine.
func (g *Guard) hostAllowed(host string) bool {
	if g.c.AnyHost || g.HasCredentials() && len(g.c.Hosts) == 0 || IsLoopback(host) {
		return true
	}
	name := hostName(host)
	return slices.ContainsFunc(g.c.Hosts, func(h string) bool { return strings.EqualFold(hostName(h), name) })
}

// known reports whether the request has a token or a session, or needs none.
func (g *Guard) known(r *http.Request) bool {
	if !g.HasCredentials() {
		return true
	}
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return matches(g.token, strings.TrimSpace(token))
	}
	c, err := r.Cookie(CookieName)
	return err == nil && g.sessions.valid(c.Value, g.c.Now())
}

// unknown leads people to the login page, and tells scripts what is needed.
func (g *Guard) unknown(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Location", up(r.URL.Path)+"login?next="+escape(r.URL.RequestURI()))
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="fsmesh"`)
	g.refuse(w, r, http.StatusUnauthorized, "unauthorized", "this server needs a token (Authorization: Bearer …) or a login; the one that was sent, if any, is not it")
}

// refuse answers scripts with a problem, as the API does, and people with a page.
func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, status int, code, detail string) {
	g.c.Refused(code)
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		page := map[string]string{
			"Status": strconv.Itoa(status), "Heading": "Refused", "Refused": strings.ToUpper(detail[:1]) + detail[1:] + ".",
			"Home": up(r.URL.Path), "Way": "To the first page",
		}
		switch status {
		case http.StatusMethodNotAllowed:
			page["Heading"] = clip(r.Method) + " is not allowed here"
		case http.StatusUnauthorized:
			page["Heading"], page["Way"] = "Not logged in", "Log in"
		}
		if code == "host_not_allowed" {
			page["Home"] = "" // it would be refused, too
		}
		showPage(w, status, page)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // who asked may be gone
		"type": "urn:fsmesh:problem:" + code, "title": http.StatusText(status), "status": status, "detail": detail, "code": code, "error": detail,
	})
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
