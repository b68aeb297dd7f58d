package parse

import (
	"fmt"
	"strconv"
	"strings"
)

// Expose reads all --expose: PORT[-PORT][/PROTO], as a list of PORT/PROTO.
func Expose(words []string) ([]string, error) {
	var ports []string
	for _, word := range words {
		numbers, protocol, found := strings.Cut(word, "/")
		if !found {
			protocol = "tcp"
		}
		protocol = strings.ToLower(protocol)
		first, last, isRange := strings.Cut(numbers, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err1 != nil || err2 != nil || from == 0 || to < from || protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
			return nil, fmt.Errorf("invalid range format for --expose: %s", word)
		}
		for port := from; port <= to; port++ {
			ports = append(ports, strconv.FormatUint(port, 10)+"/"+protocol)
		}
	}
	return ports, nil
}
