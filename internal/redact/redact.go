// Package redact hides what is secret in URLs, for all that is shown, logged or
// told in an error: one place, so that none forgets a form that another knows.
package redact

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// unreadable stands for what is no URL: a password may be anywhere in it.
const unreadable = "(a URL that cannot be read)"

// URL shows a URL without what may be secret in it: user, password, and values of
// the query. In what has no scheme they may stand anywhere before an @.
func URL(raw string) string {
	if raw == "memory" || strings.HasPrefix(raw, "memory:") && shown.MatchString(raw) {
		return raw
	}
	scheme, _, found := strings.Cut(raw, "://")
	if !found {
		if at := strings.LastIndexByte(raw, '@'); at >= 0 && shown.MatchString(raw[at+1:]) {
			return "***" + raw[at:]
		}
		return unreadable
	}
	if !shown.MatchString(scheme) {
		return unreadable
	}
	u, err := url.Parse(raw)
	if err != nil || !shown.MatchString(u.Host) {
		return scheme + "://***"
	}
	out := scheme + "://"
	if u.User != nil {
		out += "***@"
	}
	out += u.Host
	if path := strings.TrimPrefix(u.EscapedPath(), "/"); path != "" && shown.MatchString(path) {
		out += "/" + path
	}
	if u.RawQuery != "" {
		out += "?***"
	}
	return out
}

// URLs does the same with a list, with commas between.
func URLs(list string) string {
	all := strings.Split(list, ",")
	for i := range all {
		all[i] = URL(strings.TrimSpace(all[i]))
	}
	return strings.Join(all, ",")
}

// shown is what may be shown of a URL: with an @ in it, or worse, it may be a
// password that is not where it should be.
var shown = regexp.MustCompile(`^[A-Za-z0-9_.:%\[\]-]+$`)

// Error gives an error a text without what is secret in a URL, which client
// libraries put into some of theirs. It is nil for nil. What the error wraps is for
// errors.Is only.
func Error(err error, raw string) error {
	if err == nil {
		return nil
	}
	text := strings.ReplaceAll(err.Error(), raw, URL(raw))
	hide := func(secret string) {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			text = strings.ReplaceAll(text, form, "***")
		}
	}
	u, e := url.Parse(raw)
	switch {
	case e != nil:
		text = "a URL that cannot be read"
	case u.User != nil:
		// A user alone is a token.
		if p, ok := u.User.Password(); ok && p != "" {
			hide(p)
		} else if name := u.User.Username(); !ok && len(name) > 3 {
			hide(name)
		}
		fallthrough
	default:
		for _, values := range u.Query() {
			for _, v := range values {
				if len(v) > 3 {
					hide(v)
				}
			}
		}
	}
	return &redacted{text, err}
}

// A redacted error keeps the kind of an error, not its text.
type redacted struct {
	text string
	err  error
}

func (e *redacted) Error() string        { return e.text }
func (e *redacted) Is(target error) bool { return errors.Is(e.err, target) }
