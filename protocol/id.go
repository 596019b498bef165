package protocol

import "math/rand/v2"

// ID tells exchanges apart: 64 random bits, so that those of several processes,
// and of one before and after a restart, go into one log. It is no secret.
type ID uint64

func newID() ID { return ID(rand.Uint64()) }

// String is the ID in 16 hexadecimal digits, in lower case.
func (id ID) String() string {
	var b [16]byte
	return string(id.AppendTo(b[:0]))
}

// AppendTo appends what String returns.
func (id ID) AppendTo(b []byte) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[id>>shift&15])
	}
	return b
}
