package repo

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/egret-edge/egret/sync/release"
)

// Status is what a repository holds.
type Status struct {
	Roles   []RoleStatus   `json:"roles"`
	Staged  []StagedStatus `json:"staged"`
	Targets []TargetStatus `json:"targets"`
	// MinSequence is the policy's as it will be once all is published.
	MinSequence map[string]uint64 `json:"min_sequence"`
	// Warnings say what clients will or do refuse. None: all is well.
	Warnings []string `json:"warnings"`
}

// RoleStatus is a role as it is published.
type RoleStatus struct {
	Role      string    `json:"role"`
	Version   int64     `json:"version"`
	Expires   time.Time `json:"expires"`
	Left      string    `json:"left"` // in words
	Keys      []string  `json:"keys"`
	Threshold int       `json:"threshold"`
}

// StagedStatus is a role's metadata that waits to be published.
type StagedStatus struct {
	Role    string    `json:"role"`
	Version int64     `json:"version"`
	Expires time.Time `json:"expires"`
	// SignedBy are the keys whose signatures are there.
	SignedBy []string `json:"signed_by"`
	// Missing says whose signatures are not enough yet. Empty: it can be published.
	Missing string `json:"missing,omitempty"`
}

// TargetStatus is a bundle that is published or staged.
type TargetStatus struct {
	Target string `json:"target"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	release.Meta
	Staged    bool `json:"staged,omitempty"`
	Withdrawn bool `json:"withdrawn,omitempty"`
}

// Status tells what is published and staged. It warns of what expires within warn.
func (r *Repo) Status(warn time.Duration) (Status, error) {
	s := Status{Staged: []StagedStatus{}, Targets: []TargetStatus{}, Warnings: []string{}}
	for _, role := range []struct {
		name    string
		version int64
		expires time.Time
		m       any
	}{
		{metadata.ROOT, r.root.Signed.Version, r.root.Signed.Expires, r.root},
		{metadata.TARGETS, r.targets.Signed.Version, r.targets.Signed.Expires, r.targets},
		{metadata.SNAPSHOT, r.snapshot.Signed.Version, r.snapshot.Signed.Expires, r.snapshot},
		{metadata.TIMESTAMP, r.timestamp.Signed.Version, r.timestamp.Signed.Expires, r.timestamp},
	} {
		left := role.expires.Sub(r.now())
		by := r.root.Signed.Roles[role.name]
		s.Roles = append(s.Roles, RoleStatus{role.name, role.version, role.expires, inWords(left), by.KeyIDs, by.Threshold})
		if left <= max(warn, 0) {
			s.Warnings = append(s.Warnings, role.name+" "+expiryWords(left))
		}
		if enough(r.root, role.name, role.m) != nil {
			s.Warnings = append(s.Warnings, role.name+" is not signed for the newest root: a publish was interrupted, run it again")
		}
	}
	s.addStaged(r)
	policy, err := r.readPolicy(r.nextTargets())
	if err != nil {
		return Status{}, err
	}
	s.MinSequence = policy.MinSequence
	all := r.nextTargets().Signed.Targets
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name == release.PolicyTarget {
			continue
		}
		t := all[name]
		m, err := metaOf(name, t)
		if err != nil {
			return Status{}, err
		}
		old, published := r.targets.Signed.Targets[name]
		staged := !published
		if published {
			was, err := metaOf(name, old)
			staged = err != nil || was.Sequence != m.Sequence
		}
		s.Targets = append(s.Targets, TargetStatus{name, t.Length, fmt.Sprintf("%x", []byte(t.Hashes["sha256"])), m, staged, policy.Allows(m) != nil})
	}
	slices.SortFunc(s.Targets, func(a, b TargetStatus) int {
		return cmp.Or(cmp.Compare(a.Model.Name, b.Model.Name), cmp.Compare(a.Sequence, b.Sequence))
	})
	return s, nil
}

func (s *Status) addStaged(r *Repo) {
	if m := r.staged.root; m != nil {
		st := StagedStatus{Role: metadata.ROOT, Version: m.Signed.Version, Expires: m.Signed.Expires, SignedBy: signatures(r.root, metadata.ROOT, m)}
		for _, id := range signatures(m, metadata.ROOT, m) {
			if !slices.Contains(st.SignedBy, id) {
				st.SignedBy = append(st.SignedBy, id)
			}
		}
		for _, by := range []*rootMeta{r.root, m} {
			if enough(by, metadata.ROOT, m) != nil {
				st.Missing = missing(by, metadata.ROOT, m)
				break
			}
		}
		s.Staged = append(s.Staged, st)
	}
	if m := r.staged.targets; m != nil {
		next := r.nextRoot()
		st := StagedStatus{Role: metadata.TARGETS, Version: m.Signed.Version, Expires: m.Signed.Expires, SignedBy: signatures(next, metadata.TARGETS, m)}
		if enough(next, metadata.TARGETS, m) != nil {
			st.Missing = missing(next, metadata.TARGETS, m)
		}
		s.Staged = append(s.Staged, st)
	}
}

func missing(by *rootMeta, role string, m any) string {
	return fmt.Sprintf("%d of %d signatures by the %s keys of root %d", len(signatures(by, role, m)), by.Signed.Roles[role].Threshold, role, by.Signed.Version)
}

func expiryWords(left time.Duration) string {
	if left <= 0 {
		return "has expired " + inWords(left)
	}
	return "expires in " + inWords(left)
}

// inWords says a time from now, such as "3 days" or "2 hours ago".
func inWords(d time.Duration) string {
	if d <= 0 {
		return amount(-d) + " ago"
	}
	return amount(d)
}

func amount(d time.Duration) string {
	n, unit := int(d.Minutes()), "minute"
	switch {
	case d >= 48*time.Hour:
		n, unit = int(d.Hours()/24), "day"
	case d >= 2*time.Hour:
		n, unit = int(d.Hours()), "hour"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprint(n, " ", unit)
}
