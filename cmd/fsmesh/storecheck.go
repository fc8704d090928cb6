package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fsmesh/fsmesh/adapters"
	"github.com/fsmesh/fsmesh/adapters/jetstream"
	"github.com/spf13/cobra"
)

func (p *program) storeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "Look into a store",
		Long: `Looks into a store: the folder of one that has stopped, or the JetStream of a
server. A store is a FOLDER, jetstream:FOLDER or jetstream:nats://HOST:PORT. Nothing
in it is changed: of a folder a copy is read, made in the folder for temporary files
(TMPDIR). Exit status 3 means that there is no store.`,
		Example: `  fsmesh store info ~/.local/share/fsmesh/Orders
  fsmesh store verify jetstream:nats://127.0.0.1:4222`,
		Args: p.knownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.storeInfoCommand(), p.storeVerifyCommand())
	return c
}

// openStore opens the store that is there; none is made.
func (p *program) openStore(ctx context.Context, given string) (*adapters.Store, *jetstream.Store, error) {
	url := given
	if !strings.HasPrefix(url, "jetstream:") {
		if strings.Contains(url, "://") || url == "memory" {
			return nil, nil, usage("only a FOLDER, jetstream:FOLDER and jetstream:nats://HOST:PORT can be looked into")
		}
		url = "jetstream:" + url
	}
	token, err := p.token("")
	if err != nil {
		return nil, nil, err
	}
	store, err := adapters.Stores(ctx, url, adapters.StoreOptions{Look: true, Token: token, Logger: p.logger()})
	switch {
	case errors.Is(err, adapters.ErrStoreURL):
		return nil, nil, &exitError{exitUsage, err}
	case errors.Is(err, jetstream.ErrNoStore):
		return nil, nil, &exitError{exitNotFound, err}
	case errors.Is(err, jetstream.ErrDataInUse):
		return nil, nil, fmt.Errorf("%w; stop the fsmesh that has it first", err)
	case err != nil:
		return nil, nil, err
	}
	js, ok := store.Store.(*jetstream.Store)
	if !ok {
		return nil, nil, errors.Join(usage("%s cannot be looked into", store.Kind), store.Close())
	}
	return store, js, nil
}

// A storeLine is what a store holds, as it is printed.
type storeLine struct {
	Store           string    `json:"store"`
	Bytes           uint64    `json:"bytes"`
	CheckpointBytes uint64    `json:"checkpointBytes"`
	First           uint64    `json:"firstPosition"`
	Last            uint64    `json:"lastPosition"`
	Needed          uint64    `json:"neededPosition"`
	HeldBy          string    `json:"heldBy,omitempty"`
	Logs            []logLine `json:"logs"`
}

type logLine struct {
	Name         string `json:"name"`
	ID           string `json:"id"`
	Epoch        uint64 `json:"epoch"`
	ClaimedBy    string `json:"claimedBy,omitempty"`
	Live         int    `json:"live"`
	Ended        int    `json:"ended"`
	Records      uint64 `json:"records"`
	Frames       uint64 `json:"frames"`
	KeptFrames   uint64 `json:"keptFrames"`
	Oldest       string `json:"oldest,omitempty"`
	Position     uint64 `json:"position"`
	Checkpoint   uint64 `json:"checkpointPosition"`
	Needed       uint64 `json:"neededPosition"`
	Acknowledged uint64 `json:"acknowledgedPosition"`
}

func (p *program) storeInfoCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "info STORE",
		Short:   "Show what a store holds",
		Long:    `Shows what a store holds: its size, and the log of each runtime with its instances.`,
		Example: `  fsmesh store info ~/.local/share/fsmesh/Orders`,
		Args:    args(1, 1),
	}
	form := outputFlag(c, "table", "json", "yaml")
	c.RunE = func(c *cobra.Command, words []string) (err error) {
		store, js, err := p.openStore(c.Context(), words[0])
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		info, err := jetstream.Info(c.Context(), js)
		if err != nil {
			return err
		}
		out := storeLine{
			Store: store.Kind, Bytes: info.Bytes, CheckpointBytes: info.CheckpointBytes, First: info.First, Last: info.Last,
			Needed: info.Needed, HeldBy: info.HeldBy, Logs: []logLine{},
		}
		for _, l := range info.Logs {
			line := logLine{
				Name: l.Name, ID: l.ID, Epoch: l.Claim.Epoch, ClaimedBy: l.Claim.By, Live: l.Live, Ended: l.Ended, Records: l.Records,
				Frames: l.Frames, KeptFrames: l.KeptFrames, Position: l.Position, Checkpoint: l.Checkpoint, Needed: l.Needed, Acknowledged: l.Acknowledged,
			}
			if !l.Oldest.IsZero() {
				line.Oldest = l.Oldest.UTC().Format(time.RFC3339)
			}
			out.Logs = append(out.Logs, line)
		}
		if form.value != "table" {
			return writeDocument(p.stdout, form.value, &out)
		}
		fmt.Fprintf(p.stdout, "%s: %d bytes of records, %d bytes of checkpoints\n", out.Store, out.Bytes, out.CheckpointBytes)
		if out.HeldBy != "" {
			fmt.Fprintf(p.stdout, "positions %d to %d; those from %d on are needed, the first of them by %s\n", out.First, out.Last, max(out.First, out.Needed), out.HeldBy)
		}
		list := (&remote{p: p, form: form}).listing("LOG", "LIVE", "ENDED", "RECORDS", "FRAMES", "OLDEST", "POSITION", "CHECKPOINT", "EPOCH", "CLAIMED BY")
		for _, l := range out.Logs {
			if err := list.add(&l, l.Name, strconv.Itoa(l.Live), strconv.Itoa(l.Ended), number(l.Records), number(l.KeptFrames), l.Oldest,
				number(l.Position), number(l.Checkpoint), number(l.Epoch), l.ClaimedBy); err != nil {
				return err
			}
		}
		return list.end()
	}
	return c
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// A verifyLine is what was found, as it is printed.
type verifyLine struct {
	Store     string   `json:"store"`
	OK        bool     `json:"ok"`
	Logs      int      `json:"logs"`
	Frames    int      `json:"frames"`
	Records   int      `json:"records"`
	Instances int      `json:"instances"`
	Problems  []string `json:"problems"`
}

func (p *program) storeVerifyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify STORE",
		Short: "Read all that a store holds and say what is wrong with it",
		Long: `Reads all that a store holds: whether records can be read and follow on each other,
and whether the checkpoints say the same. Exit status 1 means that something is
wrong; it says what.`,
		Example: `  fsmesh store verify ~/.local/share/fsmesh/Orders`,
		Args:    args(1, 1),
	}
	form := outputFlag(c, "table", "json", "yaml")
	c.RunE = func(c *cobra.Command, words []string) (err error) {
		store, js, err := p.openStore(c.Context(), words[0])
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, store.Close()) }()
		v, err := jetstream.Verify(c.Context(), js)
		if err != nil {
			return err
		}
		out := verifyLine{Store: store.Kind, OK: len(v.Problems) == 0, Logs: v.Logs, Frames: v.Frames, Records: v.Records, Instances: v.Instances, Problems: []string{}}
		for _, problem := range v.Problems {
			out.Problems = append(out.Problems, problem.Error())
		}
		if form.value != "table" {
			err = writeDocument(p.stdout, form.value, &out)
		} else {
			for _, problem := range out.Problems {
				fmt.Fprintln(p.stdout, oneLine(problem))
			}
			fmt.Fprintf(p.stdout, "%s: %s, %s, %s, %s, %s\n", out.Store, plural(out.Logs, "log"), plural(out.Frames, "frame"),
				plural(out.Records, "record"), plural(out.Instances, "instance"), plural(len(out.Problems), "problem"))
		}
		if err == nil && !out.OK {
			return &exitError{exitFailed, fmt.Errorf("%s found", plural(len(out.Problems), "problem"))}
		}
		return err
	}
	return c
}
