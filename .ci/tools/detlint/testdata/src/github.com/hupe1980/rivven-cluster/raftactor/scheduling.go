package raftactor

type signal chan struct{} // want `channel: the Go scheduler`

type door struct{ open signal }

func scheduling(d door) {
	go scheduling(d)    // want `go statement`
	c := make(chan int) // want `channel`
	c <- 1              // want `send on a channel`
	<-d.open            // want `receive from a channel`
	for range d.open {  // want `range over a channel`
	}
	close(d.open)    // want `close of a channel`
	_ = make(signal) // want `make of a channel`
	select {         // want `select`
	case <-d.open:
	}
	_ = len(d.open)
}
