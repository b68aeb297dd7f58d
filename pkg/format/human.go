package format

import (
	"time"

	"github.com/docker/go-units"
)

// Ago is how long before now t was: "About a minute ago". A zero t is "N/A".
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "N/A"
	}
	return units.HumanDuration(now.Sub(t)) + " ago"
}

// For is the time from t to now: "3 seconds".
func For(t, now time.Time) string { return units.HumanDuration(now.Sub(t)) }

// Size is bytes with three significant digits in decimal units: "7.38MB".
func Size(bytes int64) string { return units.HumanSizeWithPrecision(float64(bytes), 3) }

// Ellipsis shortens s to at most length characters, the last of which says that
// something is missing.
func Ellipsis(s string, length int) string {
	runes := []rune(s)
	switch {
	case length <= 0:
		return ""
	case len(runes) <= length:
		return s
	}
	return string(runes[:length-1]) + "…"
}

// ShortID is the first 12 digits of an ID, without its algorithm.
func ShortID(id string) string {
	const algorithm = "sha256:"
	if len(id) > len(algorithm) && id[:len(algorithm)] == algorithm {
		id = id[len(algorithm):]
	}
	return id[:min(12, len(id))]
}

// Timestamp is how Docker writes a point in time in tables.
func Timestamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 -0700 MST") }
