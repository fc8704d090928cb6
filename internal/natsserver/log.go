package natsserver

import (
	"fmt"
	"log/slog"
)

// serverLog hands the server's own log to slog. The server reports some
// failures of its start only there.
type serverLog struct {
	logger *slog.Logger
	failed chan string // room for one
}

func (l *serverLog) Noticef(format string, v ...any) {
	l.logger.Debug("bus: " + fmt.Sprintf(format, v...))
}
func (l *serverLog) Warnf(format string, v ...any) {
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
