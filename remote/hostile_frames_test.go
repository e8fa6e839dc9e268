package remote

import (
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hupe1980/rivven-cluster/actors"
)

const stringType = "google.protobuf.StringValue"

// What breaks the rules of a lane costs the connection, and names why.
func TestHostileFrames(t *testing.T) {
	for name, c := range map[string]struct {
		kind   Kind
		class  actors.Class
		bytes  []byte
		frames []*Frame
		want   Code
	}{
		"over the limit":             {kind: KindMain, class: actors.Default, bytes: []byte{0x81, 0x80, 0x80, 0x02}, want: CodeFrameTooLarge},
		"over the limit of Control":  {kind: KindMain, class: actors.Control, bytes: []byte{0x81, 0x80, 0x80, 0x02}, want: CodeFrameTooLarge},
		"over the limit of Append":   {kind: KindMain, class: actors.Append, bytes: []byte{0x81, 0x80, 0x80, 0x02}, want: CodeFrameTooLarge},
		"over the limit of a chunk":  {kind: KindBulk, class: actors.Bulk, bytes: []byte{0x81, 0xc0, 0x10}, want: CodeFrameTooLarge},
		"over the limit of chunks":   {kind: KindBulk, class: actors.Bulk, frames: []*Frame{{TargetId: "x", TypeName: stringType, Total: 1 << 31, Payload: []byte{1}}}, want: CodeFrameTooLarge},
		"a chunk of nothing":         {kind: KindBulk, class: actors.Bulk, frames: []*Frame{{Kind: Frame_CHUNK, Payload: []byte{1}}}, want: CodeProtocol},
		"a length that never ends":   {kind: KindMain, class: actors.Default, bytes: []byte{0xff, 0xff, 0xff, 0xff, 0xff}, want: CodeProtocol},
		"garbage":                    {kind: KindMain, class: actors.Default, bytes: []byte{2, 0xff, 0xff}, want: CodeProtocol},
		"a lane that is none":        {kind: KindMain, class: 200, want: CodeProtocol},
		"a lane of another kind":     {kind: KindMain, class: actors.Bulk, want: CodeProtocol},
		"a target out of range":      {kind: KindMain, class: actors.Default, frames: []*Frame{{Target: nameSlots + 1, TargetId: "x", TypeName: stringType}}, want: CodeTable},
		"a target never defined":     {kind: KindMain, class: actors.Default, frames: []*Frame{{Target: 7, TypeName: stringType}}, want: CodeTable},
		"a sender out of range":      {kind: KindMain, class: actors.Default, frames: []*Frame{{TargetId: "x", Sender: 1 << 31, SenderId: "y", TypeName: stringType}}, want: CodeTable},
		"a sender never defined":     {kind: KindMain, class: actors.Default, frames: []*Frame{{TargetId: "x", Sender: 7, TypeName: stringType}}, want: CodeTable},
		"a type out of range":        {kind: KindMain, class: actors.Default, frames: []*Frame{{TargetId: "x", Type: typeSlots + 1, TypeName: stringType}}, want: CodeTable},
		"a type that skips a slot":   {kind: KindMain, class: actors.Default, frames: []*Frame{{TargetId: "x", Type: 2, TypeName: stringType}}, want: CodeTable},
		"a type never defined":       {kind: KindMain, class: actors.Default, frames: []*Frame{{TargetId: "x", Type: 1}}, want: CodeTable},
		"no target":                  {kind: KindMain, class: actors.Default, frames: []*Frame{{TypeName: stringType}}, want: CodeTable},
		"a name without end":         {kind: KindMain, class: actors.Default, frames: []*Frame{{TargetId: string(make([]byte, nameMax+1)), TypeName: stringType}}, want: CodeProtocol},
		"a sender's address is none": {kind: KindMain, class: actors.Default, frames: []*Frame{{TargetId: "x", SenderAddress: "nowhere", SenderId: "y", TypeName: stringType}}, want: CodeProtocol},
		"a watch of nobody's":        {kind: KindMain, class: actors.Default, frames: []*Frame{{Kind: Frame_WATCH, TargetId: "x"}}, want: CodeProtocol},
		"headers without end":        {kind: KindMain, class: actors.Default, frames: []*Frame{{TargetId: "x", TypeName: stringType, Headers: manyHeaders()}}, want: CodeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			besiege(t, func(s *siege) {
				conn := s.says(c.kind, c.class, append(c.bytes, wireOf(t, c.frames...)...)...)
				if code := closeCode(t, conn); code != c.want {
					t.Fatalf("closed with %s, want %s", code, c.want)
				}
				s.closedHere(1, c.want)
				if len(s.x) != 0 {
					t.Errorf("x got %v", <-s.x)
				}
			})
		})
	}
}

func manyHeaders() []string {
	headers := make([]string, 0, 2*frameHeadersMax+2)
	for i := range frameHeadersMax + 1 {
		headers = append(headers, string(rune('a'+i)), "v")
	}
	return headers
}

// What is well-formed and not allowed is refused, message by message, and counted; the connection stays.
func TestHostileMessages(t *testing.T) {
	terminated, err := proto.Marshal(&actor.Terminated{Who: actor.NewPID("127.0.0.1:9", "y")})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		frame  *Frame
		metric string
	}{
		"an unknown type":             {&Frame{TargetId: "x", TypeName: "evil.Message"}, "unknown_types_total"},
		"an unknown serializer":       {&Frame{TargetId: "x", TypeName: stringType, Serializer: "evil"}, "unknown_types_total"},
		"bytes of another type":       {&Frame{TargetId: "x", TypeName: stringType, Payload: []byte{0xff}}, "unknown_types_total"},
		"to a guardian":               {&Frame{TargetId: "guardian$1", TypeName: stringType}, "refused_frames_total"},
		"to the remote itself":        {&Frame{TargetId: "remote", TypeName: stringType}, "refused_frames_total"},
		"to a session":                {&Frame{TargetId: "remote/127.0.0.1:9", TypeName: stringType}, "refused_frames_total"},
		"a type that swim is not for": {&Frame{TargetId: "swim", TypeName: "google.protobuf.BytesValue"}, "refused_frames_total"},
		"poison for swim":             {&Frame{TargetId: "swim", TypeName: "actor.PoisonPill"}, "refused_frames_total"},
		"a stop of swim":              {&Frame{Kind: Frame_STOP, TargetId: "swim"}, "refused_frames_total"},
		"a stop of a guardian":        {&Frame{Kind: Frame_STOP, TargetId: "guardian$1"}, "refused_frames_total"},
		"a stop of the event stream":  {&Frame{Kind: Frame_STOP, TargetId: "eventstream"}, "refused_frames_total"},
		"a stop of a future":          {&Frame{Kind: Frame_STOP, TargetId: "future$1"}, "refused_frames_total"},
		"terminated as a message":     {&Frame{TargetId: "x", TypeName: "actor.Terminated", Payload: terminated}, "refused_frames_total"},
		"a kind of frame to come":     {&Frame{Kind: 77, TargetId: "x", SenderId: "y"}, "refused_frames_total"},
	} {
		t.Run(name, func(t *testing.T) {
			besiege(t, func(s *siege) {
				swim := s.inboxOf(t, "swim")
				s.says(KindMain, actors.Default, wireOf(t, c.frame, c.frame, c.frame, &Frame{TargetId: "x", TypeName: stringType})...)
				// What comes after it on the same lane arrives, and nothing else.
				if m, ok := next(t, s.x).(*wrapperspb.StringValue); !ok || m.Value != "" || len(s.x) != 0 || len(swim) != 0 {
					t.Fatalf("x got %v and %d more, swim %d", m, len(s.x), len(swim))
				}
				s.counts(3, c.metric)
				if c.metric == "refused_frames_total" && s.logs.FilterMessage("message refused").Len() != 1 {
					t.Errorf("the refusals were logged %d times, want once", s.logs.FilterMessage("message refused").Len())
				}
			}, WithReserved(actors.NameSwim, &wrapperspb.StringValue{}))
		})
	}
}

// A sender's name is believed only as far as it harms nobody: an answer must not go out in this node's name to what
// trusts it, here or elsewhere.
func TestHostileSenders(t *testing.T) {
	besiege(t, func(s *siege) {
		reserved, theirs := s.inboxOf(t, "swim"), s.good.inboxOf(t, "swim")
		var frames []*Frame
		for _, address := range []string{s.address(), s.good.address()} {
			for _, id := range []string{"swim", "raft/meta", "remote", "guardian$1"} {
				frames = append(frames, &Frame{TargetId: "echo", SenderAddress: address, SenderId: id, TypeName: stringType})
			}
		}
		s.says(KindMain, actors.Default, wireOf(t, frames...)...)
		s.counts(8, "refused_frames_total")
		if len(reserved)+len(theirs) != 0 {
			t.Fatal("a reserved actor was answered in the name of another")
		}
	}, WithReserved(actors.NameSwim, &wrapperspb.StringValue{}))
}

// What is larger than gossip may be costs the datagram connection, and so does what is no frame.
func TestHostileDatagrams(t *testing.T) {
	for name, c := range map[string]struct {
		bytes []byte
		want  Code
	}{
		"too large":     {make([]byte, datagramMax+1), CodeFrameTooLarge},
		"no frame":      {[]byte{0xff, 0xff}, CodeProtocol},
		"a table entry": {[]byte{8 * fieldTarget, 7}, CodeTable},
	} {
		t.Run(name, func(t *testing.T) {
			besiege(t, func(s *siege) {
				conn := saysHello(t, s.testNode, KindDatagram)
				waitFor(t, "a path that takes it, and then the end", func() bool {
					_ = conn.SendDatagram(c.bytes)
					return conn.Context().Err() != nil
				})
				if code := closeCode(t, conn); code != c.want {
					t.Errorf("closed with %s, want %s", code, c.want)
				}
				s.closedHere(1, c.want)
			})
		})
	}
}

// Nobody ends a watch but the peer whose actor is watched.
func TestHostileTerminated(t *testing.T) {
	besiege(t, func(s *siege) {
		target := s.good.inboxOf(t, "watched")
		ended := make(chan any, 10)
		s.Root.Spawn(actor.PropsFromFunc(func(ctx actor.Context) {
			switch msg := ctx.Message().(type) {
			case *actor.Started:
				ctx.Watch(s.good.pid("watched"))
				ended <- ctx.Self().Id
			case *actor.Terminated:
				ended <- msg
			}
		}))
		watcher := next(t, ended).(string)
		waitFor(t, "the watch", func() bool {
			_, held := s.good.remote.core.peers.find(s.address()).watches.counts()
			return held == 1
		})
		s.says(KindMain, actors.Default, wireOf(t,
			&Frame{Kind: Frame_TERMINATED, TargetId: watcher, SenderId: "watched"},
			&Frame{Kind: Frame_TERMINATED, TargetId: watcher, SenderId: "watched", SenderAddress: s.good.address()},
			&Frame{TargetId: "x", TypeName: stringType},
		)...)
		next(t, s.x)
		s.good.Root.Send(s.good.pid("watched"), text("still watched"))
		next(t, target)
		if len(ended) != 0 {
			t.Fatalf("a stranger ended a watch: %v", <-ended)
		}
		s.good.Root.Stop(s.good.pid("watched"))
		if end := next(t, ended).(*actor.Terminated); end.Why != actor.TerminatedReason_Stopped {
			t.Fatalf("the watch ended with %v", end.Why)
		}
	})
}

// A node with a good certificate that says that it belongs to no cluster may ask bootstrap, and nothing else, whatever it sends.
func TestHostileBlankNode(t *testing.T) {
	besiege(t, func(s *siege) {
		swim, bootstrap := s.inboxOf(t, actors.NameSwim), s.inboxOf(t, actors.NameBootstrap)
		conn, stream := s.greets(s.hello(func(h *Hello) { h.ClusterId = "" }))
		if _, err := stream.Read(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		lane, err := conn.OpenUniStream()
		if err != nil {
			t.Fatal(err)
		}
		forbidden := []*Frame{
			{TargetId: "x", TypeName: stringType},
			{TargetId: actors.NameSwim, TypeName: stringType},
			{TargetId: "future$1", TypeName: stringType},
			{Kind: Frame_WATCH, TargetId: "x", SenderId: "y"},
			{Kind: Frame_STOP, TargetId: "x"},
		}
		frames := append(forbidden, &Frame{TargetId: actors.NameBootstrap, TypeName: stringType})
		if _, err := lane.Write(append([]byte{byte(actors.Default)}, wireOf(t, frames...)...)); err != nil {
			t.Fatal(err)
		}
		if in, ok := next(t, bootstrap).(*actors.Inbound); !ok || in.Peer.NodeID != 9 || in.Peer.ClusterID != "" {
			t.Errorf("bootstrap got %v", in)
		}
		s.counts(float64(len(forbidden)), "refused_frames_total")
		s.good.Root.Send(s.pid("x"), text("is x still there?"))
		if m, ok := next(t, s.x).(*wrapperspb.StringValue); !ok || m.Value == "" || len(s.x)+len(swim) != 0 {
			t.Errorf("x got %v and %d more, swim %d", m, len(s.x), len(swim))
		}
	}, WithReserved(actors.NameSwim, &wrapperspb.StringValue{}), WithReserved(actors.NameBootstrap, &wrapperspb.StringValue{}))
}
