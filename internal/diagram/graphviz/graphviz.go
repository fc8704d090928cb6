package graphviz

import (
	"bytes"
	"context"
	_ "embed" // for graphviz.wasm
	"errors"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

//go:generate sh -c "cp \"$(go mod download -json github.com/goccy/go-graphviz@v0.2.10 | sed -n 's/.*\"Dir\": \"\\(.*\\)\".*/\\1/p')/internal/wasm/graphviz.wasm\" graphviz.wasm && chmod 644 graphviz.wasm"

//go:embed graphviz.wasm
var module []byte

// maxMemory bounds the memory of an instance, in pages of 64 kB: 256 MB. A
// graph that needs more fails with an error.
const maxMemory = 4096

// An Engine is one running instance of Graphviz. It is not safe for
// concurrent use.
type Engine struct {
	runtime wazero.Runtime
	mod     api.Module
	gvc     uint64 // the Graphviz context, an address in the instance
	engine  uint64 // address of the string "dot"
	result  uint64 // address of 8 bytes: where a rendering is, and its length
}

// Start compiles Graphviz to machine code and instantiates it. It takes some
// half a second of one core and 30 MB until Close. The context bounds the
// start, not the life of the engine.
func Start(ctx context.Context) (*Engine, error) {
	config := wazero.NewRuntimeConfig().
		WithMemoryLimitPages(maxMemory).
		WithCloseOnContextDone(true)
	e := &Engine{runtime: wazero.NewRuntimeWithConfig(ctx, config)}
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start graphviz: %w", err), e.Close())
	}
	return e, nil
}

func (e *Engine) start(ctx context.Context) error {
	// More than one worker looks at the context between two functions: one alone
	// would go on to the end, long after a program was told to end.
	compiled, err := e.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, 2), module)
	if err != nil {
		return err
	}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, e.runtime); err != nil {
		return err
	}
	if err := e.stubImports(ctx, compiled); err != nil {
		return err
	}
	// No file system, no environment, no arguments, no output: the instance
	// sees its memory and nothing else.
	e.mod, err = e.runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName("graphviz"))
	if err != nil {
		return err
	}
	return e.open(ctx)
}

// stubImports gives the module the functions that it imports for plugins
// written in Go. There are none, so a call of one is an error.
func (e *Engine) stubImports(ctx context.Context, compiled wazero.CompiledModule) error {
	env := e.runtime.NewHostModuleBuilder("env")
	for _, f := range compiled.ImportedFunctions() {
		from, name, _ := f.Import()
		if from != "env" {
			continue
		}
		stub := api.GoFunc(func(context.Context, []uint64) { panic("graphviz calls " + name) }) // wazero turns it into an error
		env.NewFunctionBuilder().WithGoFunction(stub, f.ParamTypes(), f.ResultTypes()).Export(name)
	}
	_, err := env.Instantiate(ctx)
	return err
}

// open makes the Graphviz context with the two plugins that are needed: the
// layout "dot" and the core, which has the renderer "json0".
func (e *Engine) open(ctx context.Context) error {
	// A list of {name, address} that ends with a pair of zeros.
	list, err := e.call(ctx, "calloc", 3, 8)
	if err != nil {
		return err
	}
	for i, plugin := range []string{"gvplugin_dot_layout_LTX_library", "gvplugin_core_LTX_library"} {
		library := e.mod.ExportedGlobal(plugin)
		if library == nil {
			return fmt.Errorf("the module has no %s", plugin)
		}
		name, err := e.newString(ctx, plugin)
		if err != nil {
			return err
		}
		at := uint32(list) + uint32(i)*8
		e.mod.Memory().WriteUint32Le(at, uint32(name))
		e.mod.Memory().WriteUint32Le(at+4, uint32(library.Get()))
	}
	if e.gvc, err = e.call(ctx, "gvContextPlugins", list, 0); err != nil {
		return err
	}
	if e.engine, err = e.newString(ctx, "dot"); err != nil {
		return err
	}
	e.result, err = e.call(ctx, "calloc", 1, 8)
	return err
}

// Render lays out a graph in the DOT language and returns it in a text format
// of Graphviz: "json0" has the positions. After an error, be it that Graphviz
// refuses the graph, that the context ended or that the memory is full, the
// state of the engine is not known and it can only be closed.
func (e *Engine) Render(ctx context.Context, dot, format string) ([]byte, error) {
	source, err := e.newString(ctx, dot)
	if err != nil {
		return nil, err
	}
	name, err := e.newString(ctx, format)
	if err != nil {
		return nil, err
	}
	graph, err := e.call(ctx, "agmemread", source)
	if err != nil {
		return nil, err
	}
	if graph == 0 {
		return nil, e.refusal(ctx, "read the graph")
	}
	failed, err := e.call(ctx, "gvLayout", e.gvc, graph, e.engine)
	if err != nil {
		return nil, err
	}
	if failed != 0 {
		return nil, e.refusal(ctx, "lay out the graph")
	}
	failed, err = e.call(ctx, "gvRenderData", e.gvc, graph, name, e.result, e.result+4)
	if err != nil {
		return nil, err
	}
	if failed != 0 {
		return nil, e.refusal(ctx, "render as "+format)
	}
	at, _ := e.mod.Memory().ReadUint32Le(uint32(e.result))
	size, _ := e.mod.Memory().ReadUint32Le(uint32(e.result) + 4)
	view, ok := e.mod.Memory().Read(at, size)
	if !ok {
		return nil, fmt.Errorf("graphviz: a rendering of %d bytes at %d is outside its memory", size, at)
	}
	out := bytes.Clone(view) // the view is of memory that is freed now
	for _, free := range []struct {
		function string
		args     []uint64
	}{
		{"gvFreeRenderData", []uint64{uint64(at)}},
		{"gvFreeLayout", []uint64{e.gvc, graph}},
		{"agclose", []uint64{graph}},
		{"free", []uint64{name}},
		{"free", []uint64{source}},
	} {
		if _, err := e.call(ctx, free.function, free.args...); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Close ends the instance and frees its memory and its code.
func (e *Engine) Close() error {
	// Background: closing does not wait for anything.
	return e.runtime.Close(context.Background())
}

// refusal is an error with what Graphviz says about a step that it did not do.
func (e *Engine) refusal(ctx context.Context, step string) error {
	at, err := e.call(ctx, "aglasterr")
	if err != nil {
		return err
	}
	if at == 0 {
		return fmt.Errorf("graphviz does not %s", step)
	}
	return fmt.Errorf("graphviz does not %s: %q", step, e.readString(uint32(at)))
}

// call calls an exported function of at most one result.
func (e *Engine) call(ctx context.Context, name string, args ...uint64) (uint64, error) {
	f := e.mod.ExportedFunction(name)
	if f == nil {
		return 0, fmt.Errorf("graphviz: the module has no %s", name)
	}
	results, err := f.Call(ctx, args...)
	if err != nil {
		return 0, fmt.Errorf("graphviz: %s: %w", name, err)
	}
	if len(results) == 0 {
		return 0, nil
	}
	return results[0], nil
}

// newString copies s into the instance, with a zero byte at its end.
func (e *Engine) newString(ctx context.Context, s string) (uint64, error) {
	at, err := e.call(ctx, "malloc", uint64(len(s))+1)
	if err != nil {
		return 0, err
	}
	if at == 0 || !e.mod.Memory().WriteString(uint32(at), s+"\x00") {
		return 0, fmt.Errorf("graphviz: no memory for a string of %d bytes", len(s))
	}
	return at, nil
}

// readString copies a string out of the instance: at most 200 bytes.
func (e *Engine) readString(at uint32) string {
	var s []byte
	for len(s) < 200 {
		b, ok := e.mod.Memory().ReadByte(at + uint32(len(s)))
		if !ok || b == 0 {
			break
		}
		s = append(s, b)
	}
	return string(s)
}
