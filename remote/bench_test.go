package remote

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Both nodes are in this process, TLS included.
func BenchmarkOneWay(b *testing.B) {
	for _, size := range []int{16, 256, 1024} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			limits := WithLimits(Limits{DefaultBytes: 64 << 20})
			from, to := startNode(b, 1, limits), startNode(b, 2, limits)
			var count atomic.Int64
			const window = 20000
			credit := make(chan struct{}, 1000)
			_, err := to.Root.SpawnNamed(actor.PropsFromFunc(func(ctx actor.Context) {
				if _, ok := ctx.Message().(*wrapperspb.BytesValue); ok && count.Add(1)%window == 0 {
					credit <- struct{}{}
				}
			}), "x")
			if err != nil {
				b.Fatal(err)
			}
			echo := spawnEcho(b, to, "echo")
			ask(b, from, echo, text("connect"))
			msg := &wrapperspb.BytesValue{Value: make([]byte, size-3)}
			pid := to.pid("x")
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for i := 1; b.Loop(); i++ {
				from.Root.Send(pid, msg)
				if i%window == 0 && i > window {
					<-credit // at most two windows are on their way
				}
			}
			b.ReportMetric(float64(count.Load())/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

func BenchmarkRequestReply(b *testing.B) {
	from, to := startNode(b, 1), startNode(b, 2)
	echo := spawnEcho(b, to, "echo")
	msg := text("0123456789abcdef")
	ask(b, from, echo, msg)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := from.Root.RequestFuture(echo, msg, patience).Result(); err != nil {
			b.Fatal(err)
		}
	}
}
