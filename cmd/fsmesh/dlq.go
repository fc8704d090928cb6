package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fsmesh/fsmesh/adapters/rabbitmq"
	"github.com/fsmesh/fsmesh/internal/redact"
)

// dlqMost bounds the dead letters that are looked at.
const dlqMost = 10_000

func (p *program) dlqCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dlq",
		Short: "Look at the messages that bridges could not use, and send them again",
		Long: `What comes over RabbitMQ and cannot be used is kept there, in the queue
` + rabbitmq.DeadQueue + `, with the reason. These commands list it, show one, and send it
again to where it came from. On Redis such messages are counted and gone.`,
		Example: `  fsmesh bridge dlq ls --broker amqp://127.0.0.1
  fsmesh bridge dlq show 1 --broker amqp://127.0.0.1
  fsmesh bridge dlq replay --broker amqp://127.0.0.1`,
		Args: p.knownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.dlqLs(), p.dlqShow(), p.dlqReplay())
	return c
}

// A dlq is a command about the dead letters of one server.
type dlq struct {
	remote
	urls []string
}

func (p *program) newDLQ(c *cobra.Command) *dlq {
	d := &dlq{remote: remote{p: p}}
	c.Flags().StringArrayVar(&d.urls, "broker", nil, "URL of the server, amqp://… (default: the one in BROKER_URL in the environment)")
	c.Flags().DurationVar(&d.timeout, "timeout", 10*time.Second, "how long it may take")
	d.form = outputFlag(c, "table", "json", "yaml")
	return d
}

// with connects to the server and does something with it.
func (d *dlq) with(ctx context.Context, do func(context.Context, *rabbitmq.Broker) error) error {
	if d.timeout <= 0 {
		return usage("--timeout %v is out of range; say 5s", d.timeout)
	}
	_, urls, err := split(d.p.brokerURLs(d.urls))
	if err != nil {
		return err
	}
	var found []string
	for _, u := range urls {
		if strings.HasPrefix(u, "amqp") {
			found = append(found, u)
		}
	}
	switch {
	case len(found) == 0 && len(urls) > 0:
		return usage("%s keeps no dead letters; RabbitMQ does: give its amqp:// URL", redact.URL(urls[0]))
	case len(found) != 1:
		return usage("dead letters are those of one RabbitMQ server: give its URL with --broker or in BROKER_URL: amqp:// or amqps://")
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	b, err := rabbitmq.Open(ctx, found[0], rabbitmq.Options{Logger: d.p.quietly()})
	if err != nil {
		return err
	}
	defer func() {
		leave, done := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
		defer done()
		_ = b.Close(leave) // all that counted has been answered
	}()
	return do(ctx, b)
}

// A deadMessage is a dead letter as it is printed. N counts from 1, the oldest.
type deadMessage struct {
	N       int    `json:"n"`
	Channel string `json:"channel"`
	Reason  string `json:"reason"`
	At      int64  `json:"at"` // Unix ms
	Size    int    `json:"size"`
	// Body is that of the message: as it is where it is JSON, else a string.
	Body json.RawMessage `json:"body,omitempty"`
}

func deadMessageOf(n int, l *rabbitmq.DeadLetter, whole bool) *deadMessage {
	m := &deadMessage{N: n, Channel: l.Channel, Reason: l.Reason, At: l.At, Size: len(l.Body)}
	switch {
	case !whole:
	case json.Valid(l.Body):
		m.Body = l.Body
	default:
		m.Body, _ = json.Marshal(string(l.Body)) // a string always can be
	}
	return m
}

func (p *program) dlqLs() *cobra.Command {
	c := &cobra.Command{Use: "ls", Short: "List them, the oldest first", Example: "  fsmesh bridge dlq ls --broker amqp://127.0.0.1 -o json", Args: args(0, 0)}
	d := p.newDLQ(c)
	limit := c.Flags().Int("limit", 100, "at most so many")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *limit < 1 || *limit > dlqMost {
			return usage("--limit %d is out of range; 1 to %d are allowed", *limit, dlqMost)
		}
		return d.with(c.Context(), func(ctx context.Context, b *rabbitmq.Broker) error {
			letters, err := b.DeadLetters(ctx, *limit)
			if err != nil {
				return err
			}
			list := d.listing("N", "CHANNEL", "AT", "BYTES", "REASON")
			for i := range letters {
				m := deadMessageOf(i+1, &letters[i], false)
				if err := list.add(m, strconv.Itoa(m.N), m.Channel, moment(m.At), strconv.Itoa(m.Size), m.Reason); err != nil {
					return err
				}
			}
			return list.end()
		})
	}
	return c
}

func (p *program) dlqShow() *cobra.Command {
	c := &cobra.Command{Use: "show N", Short: "Show one, by its number in the list", Example: "  fsmesh bridge dlq show 1 --broker amqp://127.0.0.1", Args: args(1, 1)}
	d := p.newDLQ(c)
	c.RunE = func(c *cobra.Command, words []string) error {
		n, err := strconv.Atoi(words[0])
		if err != nil || n < 1 || n > dlqMost {
			return usage("%q is no number of a dead letter; ls shows them, from 1", words[0])
		}
		return d.with(c.Context(), func(ctx context.Context, b *rabbitmq.Broker) error {
			letters, err := b.DeadLetters(ctx, n)
			if err != nil {
				return err
			}
			if len(letters) < n {
				return notFound("there is no dead letter %d, only %d; fsmesh bridge dlq ls lists them", n, len(letters))
			}
			m := deadMessageOf(n, &letters[n-1], true)
			return d.print(m, "n", words[0], "channel", m.Channel, "reason", m.Reason, "at", moment(m.At), "body", string(m.Body))
		})
	}
	return c
}

func (p *program) dlqReplay() *cobra.Command {
	c := &cobra.Command{
		Use: "replay", Short: "Send them again to where they came from, the oldest first",
		Long:    `Sends those that are there now again, and takes them out. What still cannot be used comes back.`,
		Example: "  fsmesh bridge dlq replay --first 1 --broker amqp://127.0.0.1", Args: args(0, 0),
	}
	d := p.newDLQ(c)
	first := c.Flags().Int("first", dlqMost, "only so many, the oldest")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *first < 1 || *first > dlqMost {
			return usage("--first %d is out of range; 1 to %d are allowed", *first, dlqMost)
		}
		return d.with(c.Context(), func(ctx context.Context, b *rabbitmq.Broker) error {
			n, err := b.Replay(ctx, *first)
			if err != nil {
				return fmt.Errorf("%d were sent again: %w", n, err)
			}
			return d.print(map[string]int{"replayed": n}, "replayed", strconv.Itoa(n))
		})
	}
	return c
}
