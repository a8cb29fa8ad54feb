package outbox

import (
	"fmt"
	"testing"
	"time"
)

func BenchmarkAppendFlush(b *testing.B) {
	data := append(rec(1), make([]byte, 300-len(rec(1)))...)
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			o, err := Open(Options{Path: tempPath(b), FlushInterval: time.Hour, MaxBytes: 64 << 20})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				for range n {
					if err := o.Append(data); err != nil {
						b.Fatal(err)
					}
				}
				if err := o.Flush(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "records/s")
			if err := o.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkAppendTakeAck(b *testing.B) {
	o, err := Open(Options{Path: tempPath(b), FlushInterval: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	data := rec(1)
	b.ReportAllocs()
	for b.Loop() {
		if err := o.Append(data); err != nil {
			b.Fatal(err)
		}
		batch, _ := o.Take(64, 64<<10)
		if err := o.Ack(batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := o.Close(); err != nil {
		b.Fatal(err)
	}
}
