package ui

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// number writes a count with commas: 1,204,331.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// counted writes a count with its noun: 1 instance, 2 instances.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

// span writes a duration in its two largest units: 2 d 3 h.
func span(d time.Duration) string {
	d = max(d, 0)
	parts := []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	for i, p := range parts {
		n := d / p.unit
		if n == 0 && i < len(parts)-1 {
			continue
		}
		s := fmt.Sprintf("%d %s", n, p.name)
		if i < len(parts)-1 {
			if rest := d % p.unit / parts[i+1].unit; rest > 0 {
				s += fmt.Sprintf(" %d %s", rest, parts[i+1].name)
			}
		}
		return s
	}
	return ""
}

// ago is how long before now a moment was.
func ago(now, t time.Time) string { return span(now.Sub(t)) }

// clock is a time of today, stamp any: all pages speak UTC and say so.
func clock(t time.Time) string { return t.UTC().Format("15:04:05") }
func stamp(t time.Time) string { return t.UTC().Format("2 Jan 15:04:05") }
func iso(t time.Time) string   { return t.UTC().Format(time.RFC3339) }

// href makes a relative address of a page and its parameters, leaving out the
// empty ones. All pages lie side by side, so it is right from each of them.
func href(page string, pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	if len(v) == 0 {
		return page
	}
	return page + "?" + v.Encode()
}

// shortID abbreviates a long id for a table; pages have the whole one, too.
func shortID(id string) string {
	if r := []rune(id); len(r) > 20 {
		return string(r[:8]) + "…" + string(r[len(r)-4:])
	}
	return id
}

// indented is JSON for people.
func indented(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// compact is JSON on one line, cut where it gets long.
func compact(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	s := strings.TrimSpace(b.String())
	if r := []rune(s); len(r) > 60 {
		return string(r[:58]) + "…"
	}
	return s
}
