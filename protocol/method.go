package protocol

import "slices"

// The methods of RFC 9110, section 9, and RFC 5789.
const (
	MethodGet     = "GET"
	MethodHead    = "HEAD"
	MethodPost    = "POST"
	MethodPut     = "PUT"
	MethodDelete  = "DELETE"
	MethodConnect = "CONNECT"
	MethodOptions = "OPTIONS"
	MethodTrace   = "TRACE"
	MethodPatch   = "PATCH"
)

// Methods lists the methods that are known: any other gets 501.
func Methods() []string {
	return []string{
		MethodGet, MethodHead, MethodPost, MethodPut, MethodDelete,
		MethodConnect, MethodOptions, MethodTrace, MethodPatch,
	}
}

var knownMethods = Methods()

// KnownMethod reports whether m is one of Methods.
func KnownMethod(m string) bool { return slices.Contains(knownMethods, m) }
