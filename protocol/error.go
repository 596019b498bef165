package protocol

import (
	"errors"
	"fmt"
)

// Error is an error with a status that the client may know. The cause, Err, is
// for the log only.
type Error struct {
	Status int    // 4xx or 5xx
	Header Header // fields the answer must carry: Allow, WWW-Authenticate, Retry-After, …
	Reason string // for a request that is not HTTP: which rule it broke, one of the Bad… constants
	Close  bool   // the connection can't be used after the answer
	Err    error  // the cause; may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%d %s", e.Status, StatusText(e.Status))
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Fail returns an *Error with that status and cause; cause may be nil.
func Fail(status int, cause error) *Error { return &Error{Status: status, Err: cause} }

// Failf is Fail with a formatted cause.
func Failf(status int, format string, args ...any) *Error {
	return &Error{Status: status, Err: fmt.Errorf(format, args...)}
}

// StatusOf is the status that err stands for: its own for an *Error, 200 for
// nil, 500 for any other and for an *Error whose status is none of an error.
func StatusOf(err error) int {
	if err == nil {
		return 200
	}
	if e, ok := errors.AsType[*Error](err); ok && 400 <= e.Status && e.Status <= 599 {
		return e.Status
	}
	return 500
}

// PanicError is what became of a handler that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Why a request was refused before any handler saw it: the values of the reason
// label of bad_requests_total. The set is closed.
const (
	BadRequestLine      = "request_line"
	BadTarget           = "target"
	BadVersion          = "version"
	BadField            = "field"
	BadHost             = "host"
	BadLength           = "content_length"
	BadTransferEncoding = "transfer_encoding"
	BadChunk            = "chunk"
	BadExpect           = "expect"
	BadURITooLong       = "uri_too_long"
	BadHeadTooLarge     = "head_too_large"
	BadBodyTooLarge     = "body_too_large"
	BadTimeout          = "timeout"
	BadTruncated        = "truncated"
)

// BadReasons lists every Reason there is.
func BadReasons() []string {
	return []string{
		BadRequestLine, BadTarget, BadVersion, BadField, BadHost, BadLength, BadTransferEncoding,
		BadChunk, BadExpect, BadURITooLong, BadHeadTooLarge, BadBodyTooLarge, BadTimeout, BadTruncated,
	}
}

func bad(status int, reason, format string, args ...any) *Error {
	return &Error{Status: status, Reason: reason, Close: true, Err: fmt.Errorf(format, args...)}
}
