package redact

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestURL(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"redis://u:p@h:1/2": "redis://***@h:1/2", "amqp://h": "amqp://h", "redis://u:p@h:port": "redis://***", "nonsense": unreadable,
		"redis://h/0?password=x": "redis://h/0?***", "nats://token@h:4222": "nats://***@h:4222", "memory": "memory", "memory:a": "memory:a",
		"memory:u:p@h": "***@h", "u:p@h": "***@h", "u:p@h st": unreadable, "redis://u:p@h@i:1": "redis://***@i:1", "nats://u:p@ho st": "nats://***",
		"amqp://h/vhost/p@ss": "amqp://h", "": unreadable, "u p://h": unreadable,
	} {
		if got := URL(raw); got != want {
			t.Errorf("URL(%q) = %q, want %q", raw, got, want)
		}
	}
	for list, want := range map[string]string{
		"nats://a:s@h:1, nats://i:2": "nats://***@h:1,nats://i:2", "nats://u:with,comma@h": "nats://***,***@h",
	} {
		if got := URLs(list); got != want {
			t.Errorf("URLs(%q) = %q, want %q", list, got, want)
		}
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	cause := errors.New("away")
	for raw, text := range map[string]string{
		"redis://u:s3cr3t%2F+@h:1":         "dial redis://u:s3cr3t%2F+@h:1: s3cr3t/+ is wrong, so is s3cr3t%2F%2B",
		"nats://s3cr3t@h":                  "s3cr3t is refused",
		"amqp://h/?password=s3cr3t&u=1":    "amqp://h/?password=s3cr3t&u=1: s3cr3t",
		"redis://u:p@h/0?password=s3cr3t!": "s3cr3t! is refused",
		"redis://u:s3cr3t@ho st":           "parse: s3cr3t@ho st",
	} {
		err := Error(fmt.Errorf("%s: %w", text, cause), raw)
		if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(fmt.Sprintf("%+v", err), "s3cr3t") {
			t.Errorf("%s: the secret is in %q", raw, err)
		}
		if !errors.Is(err, cause) || errors.Unwrap(err) != nil {
			t.Errorf("%s: the kind is lost, or what is wrapped can be read: %v", raw, errors.Unwrap(err))
		}
	}
	if Error(nil, "redis://h") != nil {
		t.Error("no error became one")
	}
}

// FuzzURL sees that no password gets through, however odd the URL.
func FuzzURL(f *testing.F) {
	for _, s := range []string{
		"redis://u:%s@h", "amqp://:%s@h:1/v", "redis://h?password=%s", "x:%s@y", "redis://u:%s@h:port", "://%s", "redis://u:%s", "%s@h", "memory:%s@h", "nats://a,u:%s@h",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		before, after, ok := strings.Cut(pattern, "%s@")
		if !ok || strings.Contains(before+after, "Hunter2") {
			return
		}
		raw := before + "Hunter2@" + after
		if got := URL(raw); strings.Contains(got, "Hunter2") {
			t.Fatalf("%q shows the password: %q", pattern, got)
		}
		if got := URLs(raw); strings.Contains(got, "Hunter2") {
			t.Fatalf("in a list %q shows the password: %q", pattern, got)
		}
	})
}
