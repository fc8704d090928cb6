package fsm

// The types in this file are the schema of a component file, key by key. They
// hold what the file says and nothing else: defaults are filled in by the
// compiler (compile.go), faults are found by the checker (check.go), and
// reading from YAML with positions is in parse.go. Values of these types are
// read only once a runtime has been given them.

// A Component is one component file: a name, its state machines, and the
// policy for its entry point.
type Component struct {
	// Name is how other components and the mesh address this one.
	Name string `yaml:"name" json:"name"`
	// Version is free text, shown and carried but never compared.
	Version string `yaml:"version,omitempty" json:"version,omitempty"`
	// EntryMachine names the machine whose instance is the component's entry
	// point. Empty means that there is none.
	EntryMachine string `yaml:"entryMachine,omitempty" json:"entryMachine,omitempty"`
	// EntryMachineMode is "singleton" (also when empty) or "multiple".
	EntryMachineMode string `yaml:"entryMachineMode,omitempty" json:"entryMachineMode,omitempty"`
	// AutoCreateEntryPoint says whether an instance of the entry machine is
	// created at start. Nil means true for a singleton, false otherwise.
	AutoCreateEntryPoint *bool `yaml:"autoCreateEntryPoint,omitempty" json:"autoCreateEntryPoint,omitempty"`
	// StateMachines lists the machines in the order of the file.
	StateMachines []Machine `yaml:"stateMachines" json:"stateMachines"`
	// Metadata and Layout are carried without effect.
	Metadata any `yaml:"metadata,omitempty" json:"metadata,omitempty"`
	Layout   any `yaml:"layout,omitempty" json:"layout,omitempty"`
}

// A Machine is one state machine of a component.
type Machine struct {
	Name         string       `yaml:"name" json:"name"`
	InitialState string       `yaml:"initialState" json:"initialState"`
	States       []State      `yaml:"states" json:"states"`
	Transitions  []Transition `yaml:"transitions,omitempty" json:"transitions,omitempty"`
	// PublicMemberType, when set, gives each instance a public member: the
	// data given at its creation goes there and the context starts empty.
	PublicMemberType string `yaml:"publicMemberType,omitempty" json:"publicMemberType,omitempty"`
	// ParentLink tells a child's parent of each of the child's transitions.
	ParentLink *ParentLink `yaml:"parentLink,omitempty" json:"parentLink,omitempty"`
	// ContextSchema describes the data that people and programs may create
	// instances with. The engine itself ignores it.
	ContextSchema map[string]Field `yaml:"contextSchema,omitempty" json:"contextSchema,omitempty"`
	Metadata      any              `yaml:"metadata,omitempty" json:"metadata,omitempty"`
	Layout        any              `yaml:"layout,omitempty" json:"layout,omitempty"`
}

// A ParentLink names the event that a parent gets after each transition of a
// child of this machine.
type ParentLink struct {
	Enabled       bool   `yaml:"enabled" json:"enabled"`
	OnStateChange string `yaml:"onStateChange,omitempty" json:"onStateChange,omitempty"`
}

// A State is one state of a machine.
type State struct {
	Name string `yaml:"name" json:"name"`
	// Type is "entry", "regular" (also when empty), "final" or "error".
	Type string `yaml:"type,omitempty" json:"type,omitempty"`
	// OnEntry and OnExit name hooks. EntryMethod and ExitMethod are their
	// older names, used where the newer one is empty.
	OnEntry        string          `yaml:"onEntry,omitempty" json:"onEntry,omitempty"`
	OnExit         string          `yaml:"onExit,omitempty" json:"onExit,omitempty"`
	EntryMethod    string          `yaml:"entryMethod,omitempty" json:"entryMethod,omitempty"`
	ExitMethod     string          `yaml:"exitMethod,omitempty" json:"exitMethod,omitempty"`
	CascadingRules []CascadingRule `yaml:"cascadingRules,omitempty" json:"cascadingRules,omitempty"`
	Metadata       any             `yaml:"metadata,omitempty" json:"metadata,omitempty"`
	Layout         any             `yaml:"layout,omitempty" json:"layout,omitempty"`
}

// A Transition leads from one state to another when its event arrives or its
// delay has passed.
type Transition struct {
	From  string `yaml:"from" json:"from"`
	To    string `yaml:"to" json:"to"`
	Event string `yaml:"event" json:"event"`
	// Type is "regular" (also when empty), "triggerable", "timeout", "auto",
	// "inter_machine", "cross_component" or "internal".
	Type string `yaml:"type,omitempty" json:"type,omitempty"`
	// TimeoutMs is the delay in milliseconds of a timeout or an auto
	// transition. A timeout without one never fires.
	TimeoutMs int64 `yaml:"timeoutMs,omitempty" json:"timeoutMs,omitempty"`
	// ResetOnTransition says whether a self-loop restarts the timeout. Nil
	// means true.
	ResetOnTransition *bool  `yaml:"resetOnTransition,omitempty" json:"resetOnTransition,omitempty"`
	TargetMachine     string `yaml:"targetMachine,omitempty" json:"targetMachine,omitempty"`
	TargetComponent   string `yaml:"targetComponent,omitempty" json:"targetComponent,omitempty"`
	TargetEvent       string `yaml:"targetEvent,omitempty" json:"targetEvent,omitempty"`
	// ContextMapping maps keys of the data sent on to paths in this
	// instance's data. Nil passes everything on, an empty map nothing.
	ContextMapping  ContextMapping `yaml:"contextMapping,omitempty" json:"contextMapping,omitzero"`
	TriggeredMethod string         `yaml:"triggeredMethod,omitempty" json:"triggeredMethod,omitempty"`
	MatchingRules   []MatchingRule `yaml:"matchingRules,omitempty" json:"matchingRules,omitempty"`
	NotifyParent    *NotifyParent  `yaml:"notifyParent,omitempty" json:"notifyParent,omitempty"`
	Metadata        any            `yaml:"metadata,omitempty" json:"metadata,omitempty"`
	Layout          any            `yaml:"layout,omitempty" json:"layout,omitempty"`
}

// A ContextMapping maps keys of the data sent on to paths in the sender's
// data. It is a type of its own because an empty one means something else
// than none, and so must not be left out when a definition is written.
type ContextMapping map[string]string

// IsZero says whether there is no mapping at all; the encoders ask it.
func (m ContextMapping) IsZero() bool { return m == nil }

// A MatchingRule compares a value of the event's payload with a value of the
// instance's data: instance operator event. Paths are split at dots.
type MatchingRule struct {
	EventProperty    string `yaml:"eventProperty" json:"eventProperty"`
	InstanceProperty string `yaml:"instanceProperty" json:"instanceProperty"`
	// Operator is one of === (also when empty), !==, >, <, >=, <=.
	Operator string `yaml:"operator,omitempty" json:"operator,omitempty"`
}

// NotifyParent is the event that a transition sends to the parent.
type NotifyParent struct {
	Event string `yaml:"event" json:"event"`
	// IncludeState adds the new state; nil means true.
	IncludeState *bool `yaml:"includeState,omitempty" json:"includeState,omitempty"`
	// IncludeContext adds the child's data.
	IncludeContext bool `yaml:"includeContext,omitempty" json:"includeContext,omitempty"`
}

// A CascadingRule sends an event to all instances in a state of a machine
// whenever its own state is entered.
type CascadingRule struct {
	TargetComponent string         `yaml:"targetComponent,omitempty" json:"targetComponent,omitempty"`
	TargetMachine   string         `yaml:"targetMachine" json:"targetMachine"`
	TargetState     string         `yaml:"targetState" json:"targetState"`
	Event           string         `yaml:"event" json:"event"`
	Payload         map[string]any `yaml:"payload,omitempty" json:"payload,omitempty"`
	MatchingRules   []MatchingRule `yaml:"matchingRules,omitempty" json:"matchingRules,omitempty"`
}

// A Field is one entry of a contextSchema.
type Field struct {
	// Type is "text", "number", "boolean", "date", "select", "object" or
	// "array" ("string" and "integer" are accepted too).
	Type        string   `yaml:"type,omitempty" json:"type,omitempty"`
	Label       string   `yaml:"label,omitempty" json:"label,omitempty"`
	Description string   `yaml:"description,omitempty" json:"description,omitempty"`
	Placeholder string   `yaml:"placeholder,omitempty" json:"placeholder,omitempty"`
	Required    bool     `yaml:"required,omitempty" json:"required,omitempty"`
	Default     any      `yaml:"default,omitempty" json:"default,omitempty"`
	Min         *float64 `yaml:"min,omitempty" json:"min,omitempty"`
	Max         *float64 `yaml:"max,omitempty" json:"max,omitempty"`
	MinLength   *int     `yaml:"minLength,omitempty" json:"minLength,omitempty"`
	MaxLength   *int     `yaml:"maxLength,omitempty" json:"maxLength,omitempty"`
	// Pattern is a regular expression in RE2 syntax.
	Pattern string `yaml:"pattern,omitempty" json:"pattern,omitempty"`
	// Options are the values of a "select".
	Options    []any            `yaml:"options,omitempty" json:"options,omitempty"`
	Properties map[string]Field `yaml:"properties,omitempty" json:"properties,omitempty"`
}
