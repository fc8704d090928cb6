package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/fsmesh/fsmesh/internal/headroom"
	"github.com/fsmesh/fsmesh/mesh"
	"github.com/spf13/cobra"
)

const (
	// defaultNode is where a node listens unless told otherwise.
	defaultNode = "127.0.0.1:4222"
	// nodeStopTime bounds the stopping of a node.
	nodeStopTime = 4 * time.Second
)

func (p *program) nodeCommand() *cobra.Command {
	var file string
	var given mesh.Config
	c := &cobra.Command{
		Use:   "node",
		Short: "Run a mesh node, for runtimes of several processes",
		Long: `Runs a node that runtimes (serve --broker), commands (ls, send, …) and other nodes
connect to. It is a NATS server: other NATS servers do as well, and NATS clients
can reach this one. It listens on 127.0.0.1:4222. Nodes that are given each
other's --cluster-listen address with --route are one mesh; one that is given
another's --leaf-listen address with --leaf hangs off that one.

The keys of the file are name, listen, insecure, token, token_file, user,
password, password_file, cluster.name, cluster.listen, cluster.routes,
leaf.listen, leaf.remotes, leaf.token, leaf.token_file, data, max_payload. Flags
have the last word, then the environment (FSMESH_TOKEN, or
FSMESH_TOKEN_FILE for its file), then the file.`,
		Example: `  fsmesh node
  fsmesh node --listen 0.0.0.0:4222 --token-file token.txt --data /var/lib/fsmesh
  fsmesh node --listen 127.0.0.1:4223 --cluster-listen 127.0.0.1:6223 --route nats-route://127.0.0.1:6222
  fsmesh node --listen 127.0.0.1:4224 --leaf nats-leaf://127.0.0.1:7422
  fsmesh node --config node.yaml`,
		Args: args(0, 0),
	}
	f := c.Flags()
	f.StringVar(&file, "config", "", "YAML file with the node's configuration")
	f.StringVar(&given.Name, "name", "", "name of the node in logs and in a cluster (default: one made up)")
	f.StringVar(&given.Listen, "listen", defaultNode, "address for clients, HOST:PORT; port 0 takes a free one")
	f.StringVar(&given.Data, "data", "", "folder of the node's JetStream (default: none)")
	f.StringVar(&given.TokenFile, "token-file", "", "file that holds the token asked of clients (default: FSMESH_TOKEN or FSMESH_TOKEN_FILE in the environment)")
	f.BoolVar(&given.Insecure, "insecure", false, "let anybody connect on an address that other machines can reach")
	f.StringVar(&given.Cluster.Listen, "cluster-listen", "", "address for other nodes of the cluster, HOST:PORT")
	f.StringSliceVar(&given.Cluster.Routes, "route", nil, "URL of another node of the cluster, nats-route://HOST:PORT")
	f.StringVar(&given.Leaf.Listen, "leaf-listen", "", "address for nodes that hang off this one, HOST:PORT")
	f.StringSliceVar(&given.Leaf.Remotes, "leaf", nil, "URL of a node that this one hangs off, nats-leaf://HOST:PORT")
	f.StringVar(&given.Leaf.TokenFile, "leaf-token-file", "", "file that holds the token that the nodes of --leaf ask for")
	c.RunE = func(c *cobra.Command, _ []string) error {
		config, err := p.nodeConfig(c, file, given)
		if err != nil {
			return err
		}
		return p.runNode(c.Context(), config)
	}
	return c
}

// nodeConfig settles the configuration: flags over environment over file.
func (p *program) nodeConfig(c *cobra.Command, file string, given mesh.Config) (mesh.Config, error) {
	var config mesh.Config
	if file != "" {
		var err error
		if config, err = mesh.LoadConfig(file); err != nil {
			return config, err
		}
	}
	if token, err := p.token(given.TokenFile); err != nil {
		return config, err
	} else if token != "" && config.User == "" {
		config.Token, config.TokenFile = token, ""
	}
	if config.Listen == "" {
		config.Listen = defaultNode
	}
	for name, take := range map[string]func(){
		"name":           func() { config.Name = given.Name },
		"listen":         func() { config.Listen = given.Listen },
		"data":           func() { config.Data = given.Data },
		"insecure":       func() { config.Insecure = given.Insecure },
		"cluster-listen": func() { config.Cluster.Listen = given.Cluster.Listen },
		"route":          func() { config.Cluster.Routes = given.Cluster.Routes },
		"leaf-listen":    func() { config.Leaf.Listen = given.Leaf.Listen },
		"leaf":           func() { config.Leaf.Remotes = given.Leaf.Remotes },
		"leaf-token-file": func() {
			config.Leaf.Token, config.Leaf.TokenFile = "", given.Leaf.TokenFile
		},
		"token-file": func() {
			config.Token, config.TokenFile = "", given.TokenFile
			config.User, config.Password, config.PasswordFile = "", "", ""
		},
	} {
		if c.Flags().Changed(name) {
			take()
		}
	}
	return config, nil
}

// runNode runs a node until the context ends.
func (p *program) runNode(ctx context.Context, config mesh.Config) error {
	headroom.Keep()
	config.Logger = slog.New(slog.NewTextHandler(p.stderr, nil))
	n, err := mesh.Start(ctx, config)
	if _, wrong := errors.AsType[*mesh.ConfigError](err); wrong {
		return &exitError{exitUsage, err}
	}
	if err != nil {
		return err
	}
	config.Logger.Info("node is up", "url", n.URL(), "name", n.Name())
	fmt.Fprintf(p.stdout, "%s  (Ctrl-C ends it)\n", n.URL())
	<-ctx.Done()
	config.Logger.Info("stopping")
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), nodeStopTime)
	defer cancel()
	return n.Stop(stop)
}
