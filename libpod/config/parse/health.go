package parse

import (
	"fmt"
	"time"
)

// HealthDuration reads the value of a --health-* flag that is a duration; name is
// the flag's, with its dashes.
func HealthDuration(name, value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0, err
	}
	if d < 0 {
		return 0, fmt.Errorf("%s cannot be negative", name)
	}
	return d, nil
}
