package main

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"strings"
)

// recordSize is the length in bytes of what every file is made of. It divides a
// page, so that a record appended by one write(2) shows whole or not at all.
const recordSize = 512

// headSize is the length of a record's head: the version's number, its subject
// and the record's own number, in hexadecimal digits, with a newline behind.
const headSize = 16 + 1 + 8 + 1 + 8 + 1

// version is what was written into a file at one time. Its bytes follow from its
// two numbers and their offset, so that they can be compared without being kept:
// no two versions have a record in common.
type version struct {
	subject uint32 // whose version it is
	number  uint64 // counts up from 1 within the subject
}

// filling is where the bytes behind the heads come from.
var filling = func() []byte {
	b := make([]byte, 64<<10)
	source := rand.NewChaCha8([32]byte{})
	_, _ = source.Read(b) // has no error
	return b
}()

// record is the one with that number.
func (v version) record(number int64) (r [recordSize]byte) {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], v.number)
	binary.BigEndian.PutUint32(raw[8:], v.subject)
	binary.BigEndian.PutUint32(raw[12:], uint32(number))
	const digits = "0123456789abcdef"
	at := 0
	for i, b := range raw {
		if i == 8 || i == 12 {
			r[at] = ' '
			at++
		}
		r[at], r[at+1] = digits[b>>4], digits[b&15]
		at += 2
	}
	r[at] = '\n'
	mixed := (v.number*0x9e3779b97f4a7c15 + uint64(v.subject)*0xbf58476d1ce4e5b9 + uint64(number)*0x94d049bb133111eb) >> 20
	copy(r[headSize:], filling[mixed%uint64(len(filling)-recordSize):])
	return r
}

// bytes are the version's bytes from offset on, length of them.
func (v version) bytes(offset, length int64) []byte {
	b := make([]byte, 0, length+2*recordSize)
	skip := offset % recordSize
	for n := offset / recordSize; int64(len(b)) < skip+length; n++ {
		r := v.record(n)
		b = append(b, r[:]...)
	}
	return b[skip : skip+length]
}

// equal reports whether b is the version's bytes from offset on.
func (v version) equal(b []byte, offset int64) bool {
	for len(b) > 0 {
		r := v.record(offset / recordSize)
		want := r[offset%recordSize:]
		want = want[:min(len(want), len(b))]
		if !bytes.Equal(b[:len(want)], want) {
			return false
		}
		b, offset = b[len(want):], offset+int64(len(want))
	}
	return true
}

// versionOf reads which version the bytes b, which begin at a record, say they
// are of.
func versionOf(b []byte) (version, bool) {
	if len(b) < headSize || b[headSize-1] != '\n' {
		return version{}, false
	}
	fields := strings.Fields(string(b[:headSize]))
	if len(fields) != 3 {
		return version{}, false
	}
	number, err := strconv.ParseUint(fields[0], 16, 64)
	subject, err2 := strconv.ParseUint(fields[1], 16, 32)
	return version{uint32(subject), number}, err == nil && err2 == nil
}
