package raftactor

import (
	"context"
	"crypto/ed25519"
	crand "crypto/rand"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"reflect"
	"sync"
	. "time"
	"unsafe"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/google/uuid" // want `import of github.com/google/uuid: take identifiers`
	"github.com/orcaman/concurrent-map"
)

type clock struct{ now func() Time }

var wall = clock{now: Now} // want `time.Now: take time from actors.Env`

func clocks(t Time) {
	now := Now                                          // want `time.Now`
	_ = now().After(t)                                  // a method of a value, and no clock
	_ = Since(t)                                        // want `time.Since`
	_, _ = context.WithTimeout(context.Background(), 1) // want `context.WithTimeout: take time`
	context.AfterFunc(context.Background(), func() {})  // want `it starts a goroutine`
	Sleep(1)                                            // want `time.Sleep`
	//nolint:all // nothing silences a finding
	_ = Until(t) // want `time.Until`
}

func randomness(own *rand.Rand) {
	_ = own.IntN(6)
	_ = rand.New(rand.NewPCG(1, 2))
	_ = rand.IntN(6)    // want `math/rand|rand.IntN: draw from a named random stream`
	draw := rand.Uint64 // want `rand.Uint64`
	_ = draw
	_, _ = crand.Read(nil)                      // want `rand.Read`
	_, _, _ = ed25519.GenerateKey(crand.Reader) // want `ed25519.GenerateKey` `rand.Reader`
	_ = maphash.MakeSeed()                      // want `maphash.MakeSeed: its seed differs`
	_ = uuid.NewString()
}

func waiting(ctx actor.Context, as *actor.ActorSystem, wg *sync.WaitGroup, cond *sync.Cond, mu *sync.Mutex) {
	f := ctx.RequestFuture(nil, nil, 1) // want `actor.sender.RequestFuture: it blocks or reads the wall clock`
	_, _ = f.Result()                   // want `actor.Future.Result`
	wait := f.Wait                      // want `actor.Future.Wait`
	_ = wait()
	_ = (*actor.Future).Wait         // want `actor.Future.Wait`
	_ = ctx.StopFuture(nil).Wait()   // want `StopFuture` `Future.Wait`
	ctx.SetReceiveTimeout(1)         // want `SetReceiveTimeout: it reads the wall clock`
	_ = actor.NewOneForOneStrategy() // want `use actors.Supervise`
	_ = actor.NewFuture(as, -1)
	_ = actor.NewFuture(as, Second) // want `NewFuture with a timeout`
	make := actor.NewFuture         // want `NewFuture with a timeout`
	_ = make
	wg.Wait()   // want `sync.WaitGroup.Wait: nothing may block`
	cond.Wait() // want `sync.Cond.Wait`
	mu.Lock()
	mu.Unlock()
}

func orders(m *sync.Map, c cmap.ConcurrentMap, v reflect.Value) {
	m.Range(func(_, _ any) bool { return true }) // want `sync.Map.Range: its order is random`
	c.IterCb(func(string, any) {})               // want `ConcurrentMap.IterCb`
	_ = c.Keys()                                 // want `ConcurrentMap.Keys`
	_, _ = c.Get("")
	_ = v.MapKeys()  // want `Value.MapKeys`
	_ = v.MapRange() // want `Value.MapRange`
}

func addresses(p *int, v reflect.Value) {
	_ = fmt.Sprintf("at %p", p)    // want `%p prints an address`
	_ = fmt.Sprintf("%-12[1]p", p) // want `%p prints an address`
	_ = fmt.Sprintf("100%% pure %d", *p)
	_ = uintptr(unsafe.Pointer(p)) // want `the address of a value`
	_ = v.Pointer()                // want `Value.Pointer: addresses differ`
}

func seams() {
	_, _ = os.ReadFile("x") // want `os.ReadFile: I/O lies behind a seam`
	_ = os.Getpid()         // want `os.Getpid: it differs from machine to machine`
}
