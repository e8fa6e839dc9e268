package live

import (
	"time"

	"golang.org/x/sys/unix"
)

// BootClock reports whether this system has a clock that counts sleep; without one a node refuses leases.
const BootClock = true

// CLOCK_MONOTONIC of Darwin goes on while the machine sleeps (clock_gettime(3)).
func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("live: CLOCK_MONOTONIC: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
