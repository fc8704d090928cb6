package natsserver

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// serverLog hands the server's own log to slog. The server reports some
// failures of its start only there.
type serverLog struct {
	logger *slog.Logger
	failed chan string // room for one
	anew   sync.Once   // that files were left open is said
}

func (l *serverLog) Noticef(format string, v ...any) {
	l.logger.Debug("bus: " + fmt.Sprintf(format, v...))
}

// Warnf hands on a warning. After a process that was killed the server finds that
// its index is older than the records on disk, and reads those: with that nothing is wrong,
// and it is said once for all streams.
func (l *serverLog) Warnf(format string, v ...any) {
	if text := fmt.Sprintf(format, v...); strings.HasPrefix(text, "Filestore [") {
		switch {
		case strings.HasSuffix(text, "] Recovering stream state from index errored: prior state file"):
			return // it follows on each of the others
		case strings.HasSuffix(text, "] Stream state outdated, last block has additional entries, will rebuild"),
			strings.HasSuffix(text, "] Stream state outdated, found extra blocks, will rebuild"):
			l.anew.Do(func() {
				l.logger.Info("the data folder was not closed by the last process: its index is made anew from the records in it")
			})
			return
		}
	}
	l.logger.Warn("bus: " + fmt.Sprintf(format, v...))
}
func (l *serverLog) Errorf(format string, v ...any) {
	l.logger.Error("bus: " + fmt.Sprintf(format, v...))
}
func (l *serverLog) Debugf(string, ...any) {}
func (l *serverLog) Tracef(string, ...any) {}

// Fatalf is how the server says that it cannot go on; its own logger would end
// the process.
func (l *serverLog) Fatalf(format string, v ...any) {
	problem := fmt.Sprintf(format, v...)
	l.logger.Error("bus: " + problem)
	select {
	case l.failed <- problem:
	default:
	}
}
