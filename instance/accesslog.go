package instance

import (
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"sited/protocol"
)

// accessLog is where a site's requests are logged: passed for answers below
// 400, failed for the rest and for what scripts write to standard error. Lines
// are buffered for at most logDelay and written whole. What goes wrong with a
// log file never holds up the site: lines that can't be written are dropped and
// counted, which is said in the process's log once when it begins and once when
// it is over.
type accessLog struct {
	site     string
	combined bool
	withID   bool // lines in the combined format have the request's id
	log      *slog.Logger
	passed   *logFile // nil: off; may be the same as failed
	failed   *logFile
	archive  *Archive // of what was rotated
}

// newAccessLog opens no file yet. Lines that are dropped are counted by lost; what is
// rotated is given to archive.
func newAccessLog(spec Logs, site string, log *slog.Logger, lost lostCounter, archive *Archive) *accessLog {
	archive.use()
	l := &accessLog{site: site, combined: spec.Format == "combined", log: log, archive: archive}
	if spec.Passed != "" {
		l.passed = newLogFile(spec.Passed, spec.rotation(), log, lost, archive)
	}
	switch {
	case spec.Failed == "":
	case filepath.Clean(spec.Failed) == filepath.Clean(spec.Passed):
		l.failed = l.passed
	default:
		l.failed = newLogFile(spec.Failed, spec.rotation(), log, lost, archive)
	}
	return l
}

// write logs a finished exchange. It may be called concurrently.
func (l *accessLog) write(x *protocol.Exchange) {
	file := l.passed
	if statusOf(x) >= 400 {
		file = l.failed
	}
	if file == nil {
		return
	}
	line := logLines.Get().(*logLine)
	if l.combined {
		line.text = appendCombined(line.text[:0], &line.clock, x, l.withID)
	} else {
		line.text = appendJSON(line.text[:0], &line.clock, l.site, x)
	}
	file.append(line.text)
	logLines.Put(line)
}

// stderr logs a line that a script wrote to its standard error, answering the
// request with that id. A site without a log of failures has it in the process's
// log. It may be called concurrently.
func (l *accessLog) stderr(id protocol.ID, script, line string) {
	if l.failed == nil {
		l.log.Warn("script wrote to standard error", "id", id.String(), "script", script, "stderr", capped(line))
		return
	}
	b := logLines.Get().(*logLine)
	if l.combined {
		b.text = appendCombinedStderr(b.text[:0], &b.clock, time.Now(), id, script, line)
	} else {
		b.text = appendJSONStderr(b.text[:0], &b.clock, time.Now(), id, l.site, script, line)
	}
	l.failed.append(b.text)
	logLines.Put(b)
}

// files are the log files there are, each once.
func (l *accessLog) files() []*logFile {
	var files []*logFile
	if l.passed != nil {
		files = append(files, l.passed)
	}
	if l.failed != nil && l.failed != l.passed {
		files = append(files, l.failed)
	}
	return files
}

// open opens the files that are not open yet.
func (l *accessLog) open() {
	for _, f := range l.files() {
		f.openNow()
	}
}

// reopen opens the files anew, after they were renamed say. What was logged
// before goes to the old ones. A file that can't be opened is an error; its old
// one stays in use.
func (l *accessLog) reopen() error {
	var errs []error
	for _, f := range l.files() {
		errs = append(errs, f.reopen())
	}
	return errors.Join(errs...)
}

// close writes what is buffered and closes the files. What is logged later is
// dropped and counted.
func (l *accessLog) close() error {
	var errs []error
	for _, f := range l.files() {
		errs = append(errs, f.close())
	}
	l.archive.release()
	return errors.Join(errs...)
}
