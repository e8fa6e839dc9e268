package remote

import (
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

func spawn(f *actor.Future) {
	_, _ = f.Result() // the list of exceptions has it for this file
	_ = f.Wait()      // want `actor.Future.Wait: it blocks`
	_ = time.Now()    // want `time.Now: take time from actors.Env`
}
