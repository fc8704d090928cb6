package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fsmesh/fsmesh/adapters"
	"github.com/fsmesh/fsmesh/adapters/jetstream"
)

// A storage says where the runtimes of a host keep their instances.
type storage struct {
	url, data, sync string
	reserve         int
	takeover        bool
	// prefix is what the name of the default folder begins with.
	prefix string
	// keepEnded and keepRecords say how long what is not needed stays.
	keepEnded, keepRecords keeping
}

func (s *storage) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&s.data, "data", "", "folder that instances are kept in (default: fsmesh/"+s.prefix+"NAME in the user's data folder, NAME that of the first runtime)")
	f.StringVar(&s.url, "store", "", "store in place of that folder: memory, jetstream:FOLDER, or jetstream:nats://HOST:PORT (default: FSMESH_STORE in the environment, else the folder)")
	f.StringVar(&s.sync, "sync", "always", "when what is acknowledged is on disk: always, none, or after an interval such as 1s")
	_ = c.RegisterFlagCompletionFunc("sync", cobra.FixedCompletions([]string{"always", "interval", "none"}, cobra.ShellCompDirectiveNoFileComp)) // once
	f.IntVar(&s.reserve, "reserve", 64, "megabytes of disk that the folder keeps back, so that writes are refused before the disk is full; 0 is none")
	f.BoolVar(&s.takeover, "takeover", false, "take the runtimes over at once from a process that has them, instead of standing by until it is gone")
	f.Var(&s.keepEnded, "keep-ended", "how long ended instances are kept, with their history; 0 is for ever; for one machine MACHINE=TIME, repeat it for more")
	f.Var(&s.keepRecords, "keep-records", "how long the history of live instances is kept; 0 is for ever; for one machine MACHINE=TIME, repeat it for more")
}

// resolve settles what the environment has a say in, and refuses what
// contradicts itself.
func (s *storage) resolve(c *cobra.Command, p *program) error {
	if !c.Flags().Changed("store") && !c.Flags().Changed("data") {
		s.url = p.env("FSMESH_STORE")
	}
	switch {
	case s.url != "" && s.data != "":
		return usage("--store and --data both say where instances are kept; give one of them")
	case s.reserve < 0 || s.reserve > 1<<20:
		return usage("--reserve %d is out of range; 0 to 1048576 megabytes are allowed", s.reserve)
	}
	_, err := parseSync(s.sync)
	return err
}

// parseSync reads --sync.
func parseSync(text string) (jetstream.Sync, error) {
	switch text {
	case "always":
		return jetstream.SyncAlways, nil
	case "none":
		return jetstream.SyncNone, nil
	case "interval":
		text = "1s"
	}
	every, err := time.ParseDuration(text)
	if err != nil || every <= 0 {
		return jetstream.Sync{}, usage("--sync %q is not known; there are always, none, interval (which is 1s), and any time such as 250ms or 1s", text)
	}
	return jetstream.SyncEvery(every), nil
}

// open opens the store; name is that of the first runtime.
func (s *storage) open(ctx context.Context, p *program, name, token string, log *slog.Logger) (*adapters.Store, error) {
	sync, err := parseSync(s.sync)
	if err != nil {
		return nil, err
	}
	reserve := int64(s.reserve) << 20
	if reserve == 0 {
		reserve = -1
	}
	url := s.url
	if url == "" {
		folder := s.data
		if folder == "" {
			if folder, err = p.dataFolder(s.prefix + name); err != nil {
				return nil, err
			}
		}
		url = "jetstream:" + folder
	}
	store, err := adapters.Stores(ctx, url, adapters.StoreOptions{Sync: sync, Reserve: reserve, CheckpointEvery: p.checkpoints, Token: token, Logger: log})
	switch {
	case errors.Is(err, adapters.ErrStoreURL):
		return nil, &exitError{exitUsage, err}
	case errors.Is(err, jetstream.ErrDataInUse):
		return nil, fmt.Errorf("%w; another fsmesh keeps its instances there: stop it, or give this one a folder of its own with --data", err)
	}
	if folder, in := strings.CutPrefix(url, "jetstream:"); in && noFolder(err) {
		return nil, &exitError{exitUsage, fmt.Errorf("instances cannot be kept in the folder %q: %w; give another with --data", folder, err)}
	}
	return store, err
}

// noFolder reports whether an error is about a folder that cannot be where it was
// asked for. A disk that takes no writes may do so again.
func noFolder(err error) bool {
	if _, ok := errors.AsType[*fs.PathError](err); !ok {
		return false
	}
	for _, e := range []error{fs.ErrNotExist, fs.ErrPermission, syscall.ENOTDIR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// dataFolder is where instances are kept if nobody says where.
func (p *program) dataFolder(name string) (string, error) {
	base := p.env("XDG_DATA_HOME")
	if base == "" && p.env("HOME") != "" {
		base = filepath.Join(p.env("HOME"), ".local", "share")
	}
	if base == "" {
		return "", errors.New("there is no folder to keep instances in: HOME is not set; give one with --data, or --store memory")
	}
	return filepath.Join(base, "fsmesh", cmp.Or(filepath.Base(filepath.Clean("/"+name)), "runtime")), nil
}
