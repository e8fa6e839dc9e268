package ring

import (
	"fmt"
	"testing"
)

var sink string

func BenchmarkPartitionOwner(b *testing.B) {
	for _, n := range []int{3, 100, 1000} {
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			r := build(b, 128, names(n)...)
			b.ReportAllocs()
			var p uint32
			for b.Loop() {
				sink, _ = r.PartitionOwner("my-topic", p)
				p++
			}
		})
	}
}

func BenchmarkKeyOwner(b *testing.B) {
	r := build(b, 128, names(100)...)
	key := []byte("user-00000042")
	b.ReportAllocs()
	for b.Loop() {
		key[5]++
		sink, _ = r.KeyOwner(key)
	}
}

func BenchmarkReplicas3(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			s := build(b, 128, names(n)...).Snapshot()
			buf := make([]string, 0, 3)
			b.ReportAllocs()
			var p uint32
			for b.Loop() {
				list, _ := s.AppendReplicas(buf, "my-topic", p, 3)
				sink = list[0]
				p++
			}
		})
	}
}

func BenchmarkAddNode(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			s := build(b, 128, names(n)...).Snapshot()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.with("new", 1, 128); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

var sink64 uint64

func BenchmarkPosition(b *testing.B) {
	var p uint32
	for b.Loop() {
		sink64 = position(domainPartition, "my-topic", p)
		p++
	}
}
