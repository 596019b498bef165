package protocol

import "sync"

// What a request needs while it is read and answered, and a connection that
// waits does without.
const (
	bufferSize = 4 << 10  // for reading: most heads fit
	outSize    = 32 << 10 // for writing: the head, and a small body behind it
)

var (
	buffers   = sync.Pool{New: func() any { return new([bufferSize]byte) }}
	outs      = sync.Pool{New: func() any { b := make([]byte, 0, outSize); return &b }}
	exchanges = sync.Pool{New: func() any { return new(Exchange) }}
)

func getBuffer() []byte { return buffers.Get().(*[bufferSize]byte)[:] }

// putBuffer takes b back if it is one of getBuffer's; a larger one, made for a
// large head, is left to the collector.
func putBuffer(b []byte) {
	if len(b) == bufferSize {
		buffers.Put((*[bufferSize]byte)(b))
	}
}

func getOut() *[]byte  { return outs.Get().(*[]byte) }
func putOut(b *[]byte) { outs.Put(b) }
