package browsertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/chromedp/chromedp"
)

// startTime bounds the start of the browser: with a cold disk it takes a while.
const startTime = 60 * time.Second

// ErrNoBrowser says that there is no Chromium to drive.
var ErrNoBrowser = errors.New("there is no Chromium: install the package chromium (.ci/install-deps does), or name the program in the environment variable CHROMIUM")

// A Browser is a running Chromium. It is used by many goroutines.
type Browser struct {
	ctx     context.Context // of the process: chromedp keeps it there
	end     context.CancelFunc
	profile string
}

// Start runs the Chromium that CHROMIUM names, "chromium" by default, with an
// empty profile and nothing that it does on its own. Close ends it.
func Start() (*Browser, error) {
	program := os.Getenv("CHROMIUM")
	if program == "" {
		program = "chromium"
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoBrowser, err)
	}
	profile, err := os.MkdirTemp("", "fsmesh-browser-")
	if err != nil {
		return nil, err
	}
	alloc, endAlloc := chromedp.NewExecAllocator(context.Background(), options(path, profile)...)
	ctx, endBrowser := chromedp.NewContext(alloc)
	b := &Browser{ctx: ctx, profile: profile, end: func() { endBrowser(); endAlloc() }}
	started := make(chan error, 1)
	go func() { started <- chromedp.Do(ctx) }()
	select {
	case err = <-started:
	case <-time.After(startTime):
		err = fmt.Errorf("it did not answer within %s", startTime)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", path, err), b.Close())
	}
	return b, nil
}

func options(path, profile string) []chromedp.ExecAllocatorOption {
	out := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.WSURLReadTimeout(startTime),
		chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.Headless, chromedp.DisableGPU,
	}
	// Nothing but what the pages ask for goes over the network. The sandbox
	// can't be had as root, which is who tests run as in a container; it
	// guards against pages, and these are ours.
	for _, flag := range []string{
		"no-sandbox", "disable-quic", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-dev-shm-usage", "disable-extensions", "disable-default-apps", "mute-audio",
		"disable-background-timer-throttling", "disable-renderer-backgrounding", "disable-backgrounding-occluded-windows",
	} {
		out = append(out, chromedp.Flag(flag, true))
	}
	return append(out, chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("lang", "en"))
}

// Close ends the process and removes its profile.
func (b *Browser) Close() error {
	err := chromedp.Cancel(b.ctx)
	b.end()
	if errors.Is(err, chromedp.ErrInvalidContext) || errors.Is(err, context.Canceled) {
		err = nil // it never ran
	}
	return errors.Join(err, os.RemoveAll(b.profile))
}
