package logstore

import (
	"errors"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/hupe1980/rivven-cluster/actors"
)

// WriterConfig bounds the persistence actor. Zero values take the defaults.
type WriterConfig struct {
	// MaxQueueBytes may wait for the disk; a Write over it is refused with ErrBusy. Default 256 MiB.
	MaxQueueBytes int
	// MaxBatchBytes is where a batch ends, though never before its first write. Default 8 MiB.
	MaxBatchBytes int
}

// Props makes the persistence actor of a node, known as "store". It serves an opened store and doesn't close it. A
// store that fails for good makes it fail fatally, after everyone waiting was told.
func Props(store Store, cfg WriterConfig) *actor.Props {
	if cfg.MaxQueueBytes == 0 {
		cfg.MaxQueueBytes = 256 << 20
	}
	if cfg.MaxBatchBytes == 0 {
		cfg.MaxBatchBytes = 8 << 20
	}
	return actor.PropsFromProducer(func() actor.Actor {
		return &writer{store: store, cfg: cfg, held: make(map[string]refusal), waiting: make(map[string]int)}
	}, actors.Named(actors.NameStore))
}

// writer gathers what all groups want written while one batch is on its way to the disk, and submits it as the next.
type writer struct {
	store Store
	cfg   WriterConfig
	env   actors.Env
	log   *zap.Logger
	meter writerMetrics

	queue    []pending
	queued   int            // bytes in queue
	waiting  map[string]int // writes of a group in queue and in flight
	flushing bool           // a flush is in our mailbox
	inFlight *inFlight
	seq      uint64
	held     map[string]refusal
	failed   error
	syncs    syncTimes
}

// pending is one Write or Open that waits for its turn.
type pending struct {
	write  *Write // nil for an Open
	group  string
	sender *actor.PID
	bytes  int
}

type inFlight struct {
	seq   uint64
	items []pending
	since time.Duration
}

// refusal holds a group's writes back until the group starts over.
type refusal struct {
	token uint64
	err   error
}

type flush struct{}

// completion is a Durable of the store; one for an earlier incarnation of the actor is none of this one's business.
type completion struct {
	to *writer
	Durable
}

func (w *writer) Receive(ctx actor.Context) {
	switch msg := ctx.Message().(type) {
	case *actor.Started:
		w.start(ctx)
	case *Write:
		w.write(ctx, msg)
	case *Open:
		w.open(ctx, msg)
	case *GetStoreStatus:
		reply(ctx, ctx.Sender(), w.status())
	case *flush:
		w.flushing = false
		w.submit()
	case *completion:
		if msg.to == w {
			w.complete(ctx, msg.Durable)
		}
	case *actor.Restarting:
		w.abandon(ctx, ErrInterrupted)
	case *actor.Stopping:
		w.abandon(ctx, ErrStopped)
	}
}

// start submits an empty batch: once it is complete, so is all that an earlier incarnation had in flight, and only then
// may an Open be answered.
func (w *writer) start(ctx actor.Context) {
	sys := actors.Of(ctx)
	w.env, w.log, w.meter = sys.Env(), sys.Log().Named(actors.NameStore), newWriterMetrics(sys.Metrics())
	self, root := ctx.Self(), ctx.ActorSystem().Root
	w.store.Attach(func(d Durable) { root.Send(self, &completion{to: w, Durable: d}) })
	w.dispatch(nil)
}

func (w *writer) write(ctx actor.Context, msg *Write) {
	refuse := func(err error) { reply(ctx, ctx.Sender(), &Written{Group: msg.Group, Token: msg.Token, Err: err}) }
	if w.failed != nil {
		refuse(w.failed)
		return
	}
	if r, ok := w.held[msg.Group]; ok {
		if r.token != msg.Token {
			refuse(r.err)
			return
		}
		delete(w.held, msg.Group)
	}
	size := writeBytes(&msg.GroupWrite)
	if w.queued+size > w.cfg.MaxQueueBytes && len(w.queue) > 0 {
		w.meter.busy.Add(1)
		w.held[msg.Group] = refusal{msg.Token, ErrBusy}
		refuse(ErrBusy)
		return
	}
	w.enqueue(ctx, pending{write: msg, group: msg.Group, sender: ctx.Sender(), bytes: size})
}

func (w *writer) open(ctx actor.Context, msg *Open) {
	delete(w.held, msg.Group)
	p := pending{group: msg.Group, sender: ctx.Sender()}
	if w.failed != nil || (w.waiting[msg.Group] == 0 && !w.recovering()) {
		w.opened(ctx, p)
		return
	}
	w.enqueue(ctx, p)
}

// recovering is true until the first, empty batch is complete.
func (w *writer) recovering() bool { return w.inFlight != nil && w.inFlight.seq == 1 }

func (w *writer) enqueue(ctx actor.Context, p pending) {
	w.queue = append(w.queue, p)
	w.queued += p.bytes
	w.waiting[p.group]++
	w.meter.queued.Set(float64(w.queued))
	w.soon(ctx)
}

// soon submits behind what is in the mailbox by then.
func (w *writer) soon(ctx actor.Context) {
	if w.inFlight == nil && !w.flushing && len(w.queue) > 0 {
		w.flushing = true
		ctx.Send(ctx.Self(), &flush{})
	}
}

// submit hands the next batch over, unless one is on its way.
func (w *writer) submit() {
	if w.inFlight != nil || len(w.queue) == 0 {
		return
	}
	n, size := 0, 0
	for n < len(w.queue) && (n == 0 || size+w.queue[n].bytes <= w.cfg.MaxBatchBytes) {
		size += w.queue[n].bytes
		n++
	}
	items := w.queue[:n:n]
	if w.queue = w.queue[n:]; len(w.queue) == 0 {
		w.queue = nil
	}
	w.queued -= size
	w.meter.queued.Set(float64(w.queued))
	w.meter.bytes.Add(uint64(size))
	w.meter.batchBytes.Observe(float64(size))
	w.dispatch(items)
}

func (w *writer) dispatch(items []pending) {
	batch := make([]GroupWrite, 0, len(items))
	for _, p := range items {
		if p.write != nil {
			batch = append(batch, p.write.GroupWrite)
		}
	}
	w.seq++
	w.inFlight = &inFlight{seq: w.seq, items: items, since: w.env.Boot()}
	if len(batch) > 0 {
		w.meter.batchWrites.Observe(float64(len(batch)))
	}
	w.store.Submit(batch, w.seq)
}

func (w *writer) complete(ctx actor.Context, d Durable) {
	done := w.inFlight
	if done == nil || done.seq != d.Seq {
		return
	}
	w.inFlight = nil
	switch {
	case d.Err == nil && len(d.Refused) == 0:
		if len(done.items) > 0 {
			took := w.env.Boot() - done.since
			w.meter.fsync.Observe(took.Seconds())
			w.syncs.add(took)
		}
		w.settle(ctx, done.items, nil) // first: groups that write again at once are in the next batch
		w.soon(ctx)
	case d.Err == nil:
		w.settleRefused(ctx, done.items, d.Refused)
		w.submit()
	case errors.Is(d.Err, ErrNoSpace):
		w.meter.noSpace.Add(1)
		w.log.Warn("no space left for the log, writes are refused until there is", zap.Error(d.Err))
		w.settle(ctx, done.items, d.Err)
		w.settle(ctx, w.takeQueue(), d.Err)
	default:
		w.meter.fatal.Add(1)
		w.failed = d.Err
		w.settle(ctx, done.items, d.Err)
		w.settle(ctx, w.takeQueue(), d.Err)
		panic(actors.Fatal(d.Err))
	}
}

func (w *writer) takeQueue() []pending {
	queue := w.queue
	w.queue, w.queued = nil, 0
	w.meter.queued.Set(0)
	return queue
}

// settleRefused answers a batch of which the store refused some, and refuses what waits behind those.
func (w *writer) settleRefused(ctx actor.Context, items []pending, refused []Refused) {
	errs := make(map[int]error, len(refused))
	for _, r := range refused {
		errs[r.Write] = r.Err
	}
	write := 0
	for i, p := range items {
		var err error
		if p.write != nil {
			if err = errs[write]; err != nil {
				w.meter.refused.Add(1)
				w.log.Error("write refused", zap.Error(err))
			}
			write++
		}
		w.settle(ctx, items[i:i+1], err)
	}
	for _, p := range w.takeQueue() {
		if r, held := w.held[p.group]; held && p.write != nil {
			w.settle(ctx, []pending{p}, r.err)
			continue
		}
		if p.write == nil {
			delete(w.held, p.group)
		}
		w.queue = append(w.queue, p)
		w.queued += p.bytes
	}
	w.meter.queued.Set(float64(w.queued))
}

// settle answers in order. A group whose write ends with an error is held back; one that opens starts over.
func (w *writer) settle(ctx actor.Context, items []pending, err error) {
	for _, p := range items {
		if w.waiting[p.group]--; w.waiting[p.group] == 0 {
			delete(w.waiting, p.group)
		}
		if p.write == nil {
			w.opened(ctx, p)
			continue
		}
		if _, held := w.held[p.group]; err != nil && !held {
			w.held[p.group] = refusal{p.write.Token, err}
		}
		reply(ctx, p.sender, &Written{Group: p.group, Token: p.write.Token, Err: err})
	}
}

func (w *writer) opened(ctx actor.Context, p pending) {
	delete(w.held, p.group)
	if w.failed != nil {
		reply(ctx, p.sender, &Opened{Group: p.group, Err: w.failed})
		return
	}
	reply(ctx, p.sender, &Opened{Group: p.group, State: w.store.State(p.group)})
}

// abandon answers everyone who waits when the actor ends; what is in flight may yet become durable.
func (w *writer) abandon(ctx actor.Context, err error) {
	if w.failed == nil {
		w.failed = err
	}
	if w.inFlight != nil {
		w.settle(ctx, w.inFlight.items, err)
		w.inFlight = nil
	}
	w.settle(ctx, w.takeQueue(), err)
}

func reply(ctx actor.Context, to *actor.PID, msg any) {
	if to != nil {
		ctx.Send(to, msg)
	}
}

// writeBytes is what a write takes of the bounds, about what it takes on disk.
func writeBytes(w *GroupWrite) int {
	size := 64 + len(w.Group)
	for _, e := range w.Entries {
		size += 16 + len(e.GetData())
	}
	if w.Snapshot != nil {
		size += 64 + len(w.Snapshot.Peers)
	}
	return size
}
