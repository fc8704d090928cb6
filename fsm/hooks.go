package fsm

// A HookPoint says where in a transition a hook is run.
type HookPoint string

// The three places where a transition runs user code, in their order.
const (
	HookExit      HookPoint = "exit_method"
	HookTriggered HookPoint = "triggered_method"
	HookEntry     HookPoint = "entry_method"
)

// A Hook is code of the application that a transition runs. It runs before the
// transition is stored, at least once: a transition whose commit fails is
// taken again. What it does to the outside world should therefore be
// idempotent; the event's id (Call.Event) is a good key for that.
//
// A hook that returns an error, panics, or does not return in time
// (Config.HookTimeout) is reported as a user_code_error; the transition goes
// on, and what the hook did through its Call before stands.
type Hook func(*Call) error

// Hooks maps the method names of definitions to code.
type Hooks struct {
	// Methods has the hooks by name. One may serve many places.
	Methods map[string]Hook
	// Default is run for names that Methods lacks. If it is nil, those names
	// do nothing, and are logged once at start.
	Default Hook
}

func (h Hooks) find(name string) Hook {
	if f, ok := h.Methods[name]; ok {
		return f
	}
	return h.Default
}
