package live

import (
	"time"

	"golang.org/x/sys/unix"
)

// BootClock reports whether this system has a clock that counts sleep; without one a node refuses leases.
const BootClock = true

func bootTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("live: CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
