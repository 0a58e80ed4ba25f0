// Renders a Helm chart as `helm template` does, for machines without Helm: the same template engine (text/template) and the same
// library of functions (sprig), both from Debian's packages. What it does not do: dependencies, hooks, `lookup`, tests.
//
//	render CHART RELEASE NAMESPACE [VALUES.yaml ...]
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func read(path string) object {
	text, err := os.ReadFile(path)
	fail(err)
	values := object{}
	fail(yaml.UnmarshalStrict(text, &values))
	return values
}

// lay puts values over others: maps are merged, null removes, anything else replaces.
func lay(under, over object) object {
	for key, value := range over {
		inner, isMap := value.(object)
		below, wasMap := under[key].(object)
		switch {
		case value == nil:
			delete(under, key)
		case isMap && wasMap:
			under[key] = lay(below, inner)
		default:
			under[key] = value
		}
	}
	return under
}

type files struct{ chart string }

func (f files) Get(name string) string {
	text, err := os.ReadFile(filepath.Join(f.chart, name))
	if err != nil {
		return ""
	}
	return string(text)
}

type versions struct{}

func (versions) Has(string) bool { return false }

func functions(all *template.Template) template.FuncMap {
	known := sprig.TxtFuncMap()
	delete(known, "env")
	delete(known, "expandenv")
	known["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	known["fromYaml"] = func(text string) (object, error) {
		value := object{}
		return value, yaml.Unmarshal([]byte(text), &value)
	}
	known["include"] = func(name string, data interface{}) (string, error) {
		var out bytes.Buffer
		err := all.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	known["required"] = func(message string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return value, fmt.Errorf("%s", message)
		}
		return value, nil
	}
	return known
}

func main() {
	if len(os.Args) < 4 {
		fail(fmt.Errorf("usage: render CHART RELEASE NAMESPACE [VALUES.yaml ...]"))
	}
	chart, release, namespace := os.Args[1], os.Args[2], os.Args[3]
	about, values := read(filepath.Join(chart, "Chart.yaml")), read(filepath.Join(chart, "values.yaml"))
	for _, path := range os.Args[4:] {
		values = lay(values, read(path))
	}
	// The fields of Chart.yaml are called by their Go names in templates.
	named := object{}
	for key, value := range about {
		named[strings.ToUpper(key[:1])+key[1:]] = value
	}
	data := object{
		"Values":       values,
		"Chart":        named,
		"Release":      object{"Name": release, "Namespace": namespace, "Service": "Helm", "IsInstall": true, "IsUpgrade": false, "Revision": 1},
		"Capabilities": object{"APIVersions": versions{}, "KubeVersion": object{"Version": "v1.33.0"}},
		"Files":        files{chart},
	}
	all := template.New("chart").Option("missingkey=zero")
	all.Funcs(functions(all))
	paths, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	fail(err)
	sort.Strings(paths)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		fail(err)
		_, err = all.New(filepath.Base(path)).Parse(string(text))
		fail(err)
	}
	for _, path := range paths {
		name := filepath.Base(path)
		if strings.HasPrefix(name, "_") {
			continue
		}
		var out bytes.Buffer
		fail(all.ExecuteTemplate(&out, name, data))
		text := strings.ReplaceAll(out.String(), "<no value>", "")
		switch {
		case name == "NOTES.txt":
			fmt.Fprintln(os.Stderr, text)
		case strings.TrimSpace(text) != "":
			fmt.Printf("---\n# Source: %s\n%s\n", name, strings.TrimPrefix(text, "---\n"))
		}
	}
}
