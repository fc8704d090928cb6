package main

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/fsmesh/fsmesh/mesh"
	"github.com/spf13/cobra"
)

func (p *program) getCommand() *cobra.Command {
	var target targetFlag
	c := &cobra.Command{
		Use:   "get (ID | --key KEY)",
		Short: "Show one instance of a running mesh",
		Long: `Shows an instance as the runtime that has it knows it now. Exit status 3 means
that no runtime on the mesh has it.`,
		Example: `  fsmesh get 0198c5a8-3c4e-7a6b-9d55-0a4f6f1f2f10
  fsmesh get --key order:42 --component Orders -o json`,
	}
	r := p.newRemote(c)
	target.flags(c)
	c.RunE = func(c *cobra.Command, words []string) error {
		t, _, err := target.split(c, words, 0, 0)
		if err != nil {
			return err
		}
		return r.with(c.Context(), false, func(ctx context.Context, s *session) error {
			out, err := s.client.Get(ctx, t)
			if err != nil {
				return unanswered(err)
			}
			row := out.Row
			return s.print(lineOf(*row, out.RuntimeID, "", out.Component),
				"id", row.ID, "key", row.Key, "component", out.Component, "machine", row.Machine, "state", row.State,
				"status", string(row.Status), "version", strconv.FormatUint(row.Version, 10), "parent", row.Parent,
				"created", moment(row.CreatedAt), "updated", moment(row.UpdatedAt),
				"data", string(row.Context), "public member", string(row.PublicMember), "timers", string(row.PendingTimeouts))
		})
	}
	return c
}

// An instanceLine is an instance as it is printed.
type instanceLine struct {
	ID              string          `json:"instanceId"`
	Key             string          `json:"key,omitempty"`
	Component       string          `json:"componentName"`
	Machine         string          `json:"machineName"`
	State           string          `json:"currentState"`
	Status          mesh.Status     `json:"status"`
	Context         json.RawMessage `json:"context,omitempty"`
	PublicMember    json.RawMessage `json:"publicMember,omitempty"`
	PendingTimeouts json.RawMessage `json:"pendingTimeouts,omitempty"`
	Version         uint64          `json:"version"`
	Seq             uint64          `json:"seq,omitempty"`
	Parent          string          `json:"parentInstanceId,omitempty"`
	CreatedAt       int64           `json:"createdAt,omitempty"` // Unix ms
	UpdatedAt       int64           `json:"updatedAt,omitempty"` // Unix ms
	RuntimeID       string          `json:"runtimeId"`
	// Runtime is the name of the runtime, which is not part of the answer to a
	// get.
	Runtime string `json:"runtimeName,omitempty"`
	// Stale says that the runtime is not heard any more.
	Stale bool `json:"stale,omitempty"`
}

func lineOf(r mesh.Row, runtimeID, runtime, component string) *instanceLine {
	return &instanceLine{
		ID: r.ID, Key: r.Key, Component: component, Machine: r.Machine, State: r.State, Status: r.Status,
		Context: r.Context, PublicMember: r.PublicMember, PendingTimeouts: r.PendingTimeouts, Version: r.Version, Seq: r.Seq,
		Parent: r.Parent, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, RuntimeID: runtimeID, Runtime: runtime,
	}
}
