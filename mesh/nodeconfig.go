package mesh

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/fsmesh/fsmesh/internal/natsserver"
	"gopkg.in/yaml.v3"
)

// Config is what a node is made from. The zero value is a good one: a bus
// inside the process that nobody outside can reach. The names of its YAML keys
// are those of the flags of `fsmesh node`.
type Config struct {
	// Name is the node's name in logs and in a cluster. Defaults to one made
	// up at start.
	Name string `yaml:"name"`
	// Listen is the address for clients, host:port; port 0 takes any free one.
	// Empty means that the node does not listen. An address beyond loopback
	// needs Token, or User and Password, or Insecure.
	Listen string `yaml:"listen"`
	// Insecure lets anybody connect on an address beyond loopback.
	Insecure bool `yaml:"insecure"`
	// Token, or User and Password, are asked of clients that connect over the
	// network. TokenFile and PasswordFile name files that hold them.
	Token        string `yaml:"token"`
	TokenFile    string `yaml:"token_file"`
	User         string `yaml:"user"`
	Password     string `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
	// Cluster joins nodes that know each other into one bus.
	Cluster ClusterConfig `yaml:"cluster"`
	// Leaf hangs the node off another bus, or lets others hang off this one.
	Leaf LeafConfig `yaml:"leaf"`
	// Data is the folder of the node's JetStream. Empty means none. One
	// process at a time may use a folder.
	Data string `yaml:"data"`
	// MaxPayload bounds a message, in bytes. Defaults to 1,048,576, and to
	// 8,388,608 where Data is set.
	MaxPayload int `yaml:"max_payload"`
	// Logger gets the server's own log. Defaults to slog.Default().
	Logger *slog.Logger `yaml:"-"`
}

// ClusterConfig joins nodes into a cluster.
type ClusterConfig struct {
	// Name is that of the cluster; all nodes give the same one. Defaults to
	// "fsmesh".
	Name string `yaml:"name"`
	// Listen is the address for other nodes, host:port.
	Listen string `yaml:"listen"`
	// Routes are URLs of other nodes, nats-route://host:port; one that answers
	// is enough to learn of all.
	Routes []string `yaml:"routes"`
}

// LeafConfig hangs buses off each other.
type LeafConfig struct {
	// Listen is the address for nodes that hang off this one, host:port.
	Listen string `yaml:"listen"`
	// Remotes are URLs of the nodes that this one hangs off,
	// nats-leaf://[TOKEN@|USER:PASSWORD@]host:port.
	Remotes []string `yaml:"remotes"`
	// Token is given to the remotes whose URL has nothing before the host.
	// TokenFile names a file that holds it.
	Token     string `yaml:"token"`
	TokenFile string `yaml:"token_file"`
}

// remote reads the URL of a remote and puts in what it asks for: nodes take a
// token as the password of a user of their own name for it.
func (c LeafConfig) remote(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, &ConfigError{"leaf.remotes", "one of the URLs cannot be read"}
	}
	if u.User == nil {
		if c.Token != "" {
			u.User = url.UserPassword(nodeUser, c.Token)
		}
	} else if _, has := u.User.Password(); !has {
		u.User = url.UserPassword(nodeUser, u.User.Username())
	}
	return u, nil
}

// nodeUser is the user whose password a token is between nodes.
const nodeUser = "fsmesh"

// LoadConfig reads a node's configuration from a YAML file. Unknown keys are
// errors.
func LoadConfig(path string) (Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return Config{}, fmt.Errorf("node configuration: %w", err)
	}
	defer f.Close()
	var c Config
	dec := yaml.NewDecoder(f)
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("node configuration %s: %w", path, err)
	}
	return c, nil
}

// A ConfigError says what is wrong with one key of a node's configuration.
type ConfigError struct {
	Key     string
	Problem string
}

func (e *ConfigError) Error() string { return fmt.Sprintf("node: %s: %s", e.Key, e.Problem) }

// resolve reads the files that hold secrets, fills in defaults and checks the
// whole; it reports all that is wrong at once.
func (c Config) resolve() (Config, error) {
	var errs []error
	wrong := func(key, format string, args ...any) {
		errs = append(errs, &ConfigError{key, fmt.Sprintf(format, args...)})
	}
	secret := func(key string, value *string, file string) {
		if file == "" {
			return
		}
		if *value != "" {
			wrong(key, "give the secret or the file that holds it, not both")
		}
		b, err := os.ReadFile(file)
		if err != nil {
			wrong(key+"_file", "%v", err)
			return
		}
		*value = strings.TrimSpace(string(b))
	}
	secret("token", &c.Token, c.TokenFile)
	secret("password", &c.Password, c.PasswordFile)
	secret("leaf.token", &c.Leaf.Token, c.Leaf.TokenFile)
	if c.Leaf.Token != "" && len(c.Leaf.Remotes) == 0 {
		wrong("leaf.token", "it is for leaf.remotes, and there are none")
	}
	if c.Token != "" && c.User != "" {
		wrong("token", "give a token, or a user and a password, not both")
	}
	if (c.User == "") != (c.Password == "") {
		wrong("user", "a user needs a password, and a password a user")
	}
	for key, addr := range map[string]string{"listen": c.Listen, "cluster.listen": c.Cluster.Listen, "leaf.listen": c.Leaf.Listen} {
		if addr == "" {
			continue
		}
		host, _, err := splitAddress(addr)
		switch {
		case err != nil:
			wrong(key, "%v", err)
		case !loopback(host) && c.Token == "" && c.User == "" && !c.Insecure:
			wrong(key, "%s is reachable from other machines: set a token, or a user and a password, or allow everybody with insecure", addr)
		}
	}
	for _, r := range c.Cluster.Routes {
		checkURL(wrong, "cluster.routes", r, "nats-route", "nats")
	}
	for _, r := range c.Leaf.Remotes {
		checkURL(wrong, "leaf.remotes", r, "nats-leaf", "nats", "tls", "ws", "wss")
	}
	if len(c.Cluster.Routes) > 0 && c.Cluster.Listen == "" {
		wrong("cluster.listen", "a node with routes needs an address that other nodes reach it at")
	}
	if c.MaxPayload < 0 || c.MaxPayload > 64<<20 {
		wrong("max_payload", "%d is not between 1 and %d bytes", c.MaxPayload, 64<<20)
	}
	if c.Cluster.Name == "" {
		c.Cluster.Name = "fsmesh"
	}
	if c.MaxPayload == 0 {
		c.MaxPayload = 1 << 20
		if c.Data != "" {
			c.MaxPayload = natsserver.StorePayload
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, errors.Join(errs...)
}

// checkURL never repeats the URL in its words: it may hold a password.
func checkURL(wrong func(key, format string, args ...any), key, raw string, schemes ...string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "":
		wrong(key, "one of the URLs cannot be read; the form is %s://host:port", schemes[0])
	default:
		for _, s := range schemes {
			if u.Scheme == s {
				return
			}
		}
		wrong(key, "%s has the scheme %q; the form is %s://host:port", u.Redacted(), u.Scheme, schemes[0])
	}
}

func splitAddress(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host:port", addr)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("port %q is not a number from 0 to 65535", p)
	}
	return host, port, nil
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
