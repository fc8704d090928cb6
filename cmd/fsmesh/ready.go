package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

func (p *program) readyCommand() *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "ready [URL]",
		Short: "Ask a serve or a dashboard whether it is ready",
		Long: `Asks the pages at a URL, by default those of this machine at PORT or 3000, whether
their process can do its work. The exit status is 0 if so, else 1: it is made for
the health checks of containers that hold nothing but this program.`,
		Example: `  fsmesh ready
  fsmesh ready http://127.0.0.1:4000`,
		Args: args(0, 1),
	}
	c.Flags().DurationVar(&timeout, "timeout", 3*time.Second, "how long to wait for the answer")
	c.RunE = func(c *cobra.Command, words []string) error {
		address := "http://" + defaultAddress
		if port := p.env("PORT"); port != "" {
			if err := checkPort(port); err != nil {
				return usage("PORT in the environment: %w", err)
			}
			address = "http://127.0.0.1:" + port
		}
		if len(words) > 0 {
			address = words[0]
		}
		ctx, cancel := context.WithTimeout(c.Context(), timeout)
		defer cancel()
		return p.askReady(ctx, address)
	}
	return c
}

func (p *program) askReady(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/readyz", nil)
	if err != nil || req.URL.Host == "" {
		return usage("%q is no address of pages; give http://HOST:PORT", address)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer res.Body.Close()
	var said struct {
		Reason string `json:"reason"`
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(b, &said)
	}
	switch {
	case err != nil:
		return fmt.Errorf("not ready: %w", err)
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("not ready: status %d, %s", res.StatusCode, said.Reason)
	}
	fmt.Fprintln(p.stdout, "ready")
	return nil
}
