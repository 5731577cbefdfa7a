// Two ends of a long line on one machine, so that TCP itself sees distance and loss: a TUN device whose packets come
// back to the same device after a delay, with source and destination exchanged. Whoever connects to the far address
// reaches what listens on the near one; checksums stay right, since they add both addresses up. Needs root.
//
//	far-link -name ist0 -near 10.77.0.1 -far 10.77.0.2 -rtt 70ms [-loss 0.001] [-mbit 1000] [-queue 50ms] [-whole] [-congestion cubic]
//
// -whole passes segments on as the kernel offloads them, up to 64 KiB: cheaper, and enough where nothing is lost.
package main

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

const (
	mtu = 1500
	// What the line and the queue before it may hold, packets.
	packetsMax = 1 << 16
	// The header that says how a segment was offloaded (linux/virtio_net.h).
	offloadHeaderBytes = 10
	ipAddressesAt      = 12

	iffTun       = 0x0001
	iffNoPi      = 0x1000
	iffVnetHdr   = 0x4000
	tunSetIff    = 0x400454ca
	tunSetOffset = 0x400454d0
	offloadCsum  = 0x01
	offloadTso4  = 0x02
)

type packet struct {
	due   time.Time
	bytes []byte
}

// One way of the line.
type way struct {
	packets chan packet
	// When everything sent so far will have left, at the line's rate.
	freeAt time.Time
}

func open(name string, whole bool) (int, error) {
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	var request [40]byte
	copy(request[:16], name)
	flags := uint16(iffTun | iffNoPi)
	if whole {
		flags |= iffVnetHdr
	}
	*(*uint16)(unsafe.Pointer(&request[16])) = flags
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), tunSetIff, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return 0, errno
	}
	if whole {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), tunSetOffset, offloadCsum|offloadTso4); errno != 0 {
			return 0, errno
		}
	}
	return fd, nil
}

func run(command string) {
	words := strings.Fields(command)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v: %s\n", command, err, out)
		os.Exit(1)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func main() {
	name := flag.String("name", "ist0", "the device")
	near := flag.String("near", "10.77.0.1", "")
	far := flag.String("far", "10.77.0.2", "")
	rtt := flag.Duration("rtt", 70*time.Millisecond, "")
	loss := flag.Float64("loss", 0, "share of packets, each way")
	mbit := flag.Float64("mbit", 0, "rate of each way; 0: none")
	queue := flag.Duration("queue", 50*time.Millisecond, "what may wait for the rate before packets are dropped")
	whole := flag.Bool("whole", false, "segments as the kernel offloads them")
	congestion := flag.String("congestion", "", "TCP's congestion control over this line; empty: the machine's")
	flag.Parse()

	fd, err := open(*name, *whole)
	if err != nil {
		fail(err)
	}
	run("ip addr add " + *near + "/32 peer " + *far + " dev " + *name)
	// A device that drops what its reader has not fetched yet would be a second, unasked loss.
	run("ip link set " + *name + " mtu " + strconv.Itoa(mtu) + " txqueuelen 65536 up")
	if *congestion != "" {
		run("ip route replace " + *far + " dev " + *name + " src " + *near + " congctl " + *congestion)
	}
	fmt.Println("ready")

	ways := [2]way{}
	for index := range ways {
		ways[index].packets = make(chan packet, packetsMax)
		go deliver(fd, ways[index].packets)
	}
	random := rand.New(rand.NewSource(1))
	header := 0
	if *whole {
		header = offloadHeaderBytes
	}
	buffer := make([]byte, 1<<17)
	for {
		count, err := syscall.Read(fd, buffer)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			fail(err)
		}
		ip := buffer[header:count]
		if len(ip) < 40 || ip[0] != 0x45 {
			continue
		}
		exchangeAddresses(ip)
		if *loss > 0 && random.Float64() < *loss {
			continue
		}
		now := time.Now()
		due := now
		one := &ways[direction(ip)]
		if *mbit > 0 {
			if one.freeAt.Before(now) {
				one.freeAt = now
			}
			if one.freeAt.Sub(now) > *queue {
				continue
			}
			one.freeAt = one.freeAt.Add(time.Duration(float64(len(ip)*8) / *mbit * 1000))
			due = one.freeAt
		}
		select {
		case one.packets <- packet{due.Add(*rtt / 2), append([]byte(nil), buffer[:count]...)}:
		default:
		}
	}
}

// What came first is due first.
func deliver(fd int, packets <-chan packet) {
	for one := range packets {
		if wait := time.Until(one.due); wait > 0 {
			time.Sleep(wait)
		}
		if _, err := syscall.Write(fd, one.bytes); err != nil && err != syscall.EINTR {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

func exchangeAddresses(ip []byte) {
	var source [4]byte
	at := ip[ipAddressesAt:]
	copy(source[:], at[:4])
	copy(at[:4], at[4:8])
	copy(at[4:8], source[:])
}

// Servers listen below the ephemeral ports.
func direction(ip []byte) int {
	source := int(ip[20])<<8 | int(ip[21])
	destination := int(ip[22])<<8 | int(ip[23])
	if source < destination {
		return 1
	}
	return 0
}
