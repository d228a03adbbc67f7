package repr

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"vesperdb.io/vesper/internal/jsonql/resolve"
	"vesperdb.io/vesper/internal/jsonql/syntax"
)

// Shorthands for what the original prints over and over.
var shorthand = strings.NewReplacer(
	"PROP(", "JoinConditionOp(Filter(Eq(Project([1],None,None,False),PropString(",
	"MAYBE(", "JoinConditionOp(Filter(Eq(Project([1],None,None,True),PropString(",
	"END)", "0,'i',0)", "OUTER)", "0,'l',0)", "ANTI)", "0,'a',0)",
	"SHOWN)", "'usenull','nolist',True,None)", "GIVEN)", "'usenull','nolist',False,None)",
	"SELF", "ConstructSubject('id',None)",
)

const id = "Construct([ConstructProp('id',Project([0],None,None,False),SHOWN),SELF])"

var same = []struct{ name, repr, text string }{
	{"everything", `Select(Construct([ConstructProp(None,Project(['*'],None,True,False),SHOWN),SELF]),mergeall=False)`, `{*}`},
	{"the id", `Select(` + id + `,where=Join(PROP('a'))),END),name='@1'),mergeall=False)`, `{?@1 id where a}`},
	{"properties, the last name of which is the key",
		`Select(Construct([ConstructProp(None,Project(['a'],None,True,False),SHOWN),ConstructProp(None,Project(['a','b'],None,True,False),SHOWN),SELF]))`, `{a, a.b}`},
	{"maybe, omitnull and a forced list",
		`Select(Construct([ConstructProp(None,Project(['a'],None,True,True),'omit','uselist',True,None),SELF]))`, `{[omitnull maybe a]}`},
	{"constants of all kinds",
		`Select(Construct([ConstructProp('s',Constant(u'x\'y\u00e9'),GIVEN),ConstructProp('n',Constant(-1),GIVEN),ConstructProp('f',Constant(1.5),GIVEN),
		 ConstructProp('b',Constant(True),GIVEN),ConstructProp('z',Constant(None),GIVEN),ConstructProp('r',Constant(ResourceUri('p1')),GIVEN),SELF]))`,
		`{'s' : "x'yé", 'n' : -1, 'f' : 1.5, 'b' : true, 'z' : null, 'r' : @p1}`},
	{"a computed key", `Select(Construct([ConstructProp(None,Project(['n'],None,True,False),'usenull','nolist',False,Project(['title'],None,None,False)),SELF]))`, `{title : n}`},
	{"the object under a computed key",
		`Select(Construct([ConstructProp(None,Project(['*'],None,True,False),'usenull','nolist',False,Project([0],None,None,False)),SELF]),mergeall=True)`, `{id : * mergeall}`},
	{"a list", `Select(Construct([ConstructProp(None,Project(['a'],None,True,False),SHOWN),SELF],list))`, `[a]`},
	{"a value", `Select(Construct([ConstructProp(None,Project(['a'],None,True,False),SHOWN),SELF],object))`, `(a)`},
	{"equality with a constant", `Select(` + id + `,where=Join(PROP('a')),Eq(Project([2],None,None,False),Constant('x')),objectlabel=['a'], subjectlabel=['#0']),END)))`,
		`{id where a = 'x'}`},
	{"the property named on either side", `Select(` + id + `,where=Join(JoinConditionOp(Filter(Eq(Constant('a'),Project([1],None,None,False))),END)))`, `{id where a}`},
	{"comparison, bind variable, membership and arithmetic",
		`Select(` + id + `,where=Join(PROP('a')),Cmp('<',Project([2],None,None,False),BindVar('v'))),END),PROP('b')),In(Project([2],None,None,False),Constant(1),Constant(2))),END),
		 JoinConditionOp(Filter(Eq(Project(['c'],None,None,False),QueryOp.functions.getOp((None, 'add'),Project(['d'],None,None,False),Constant(1))),complexPredicates=True),END)))`,
		`{id where a < :v and b in (1, 2) and c = d + 1}`},
	{"a negated comparison", `Select(` + id + `,where=Join(PROP('a')),Not(Eq(Project([2],None,None,False),Constant(1)))),END)))`, `{id where not (a = 1)}`},
	{"a property that is missing", `Select(` + id + `,where=Join(PROP('a'))),ANTI)))`, `{id where not a}`},
	{"a property that may be missing", `Select(` + id + `,where=Join(PROP('a'))),OUTER)))`, `{id where maybe a}`},
	{"the same by its mark", `Select(` + id + `,where=Join(MAYBE('a'))),END)))`, `{id where maybe a}`},
	{"joins inside of a join, of the same objects",
		`Select(` + id + `,where=Join(PROP('a'))),END),JoinConditionOp(Union(PROP('b'))),END),PROP('c'))),END)),END),JoinConditionOp(Except(PROP('d'))),END)),END)))`,
		`{id where a and (b or c) and not d}`},
	{"an inner join", `Select(` + id + `,where=Join(PROP('a')),objectlabel=['a']),END),JoinConditionOp(Join(PROP('b'))),END),name='t'),'t','i','a')))`, `{id where a and a = {?t b}}`},
	{"an inner join by a property", `Select(` + id + `,where=Join(JoinConditionOp(Join(PROP('b'))),END),name='t'),'b','i',0)))`, `{id where {?t b} and id = ?t.b}`},
	{"an outer join", `Select(` + id + `,where=Join(JoinConditionOp(Join(PROP('b'))),END),name='t'),'t','l','a')))`, `{id where maybe a = {?t b}}`},
	{"a cross join", `Select(` + id + `,where=Join(JoinConditionOp(Join(PROP('b'))),END),name='t'),'t','x',0)))`, `{id where {?t b}}`},
	{"a semi-join", `Select(` + id + `,where=Join(JoinConditionOp(Join(PROP('b'))),END),name='t'),'t','s','a')))`, `{id where a in {?t b}}`},
	{"an anti-join", `Select(` + id + `,where=Join(JoinConditionOp(Join(PROP('b'))),END),name='t'),'#0','a','#0')))`, `{id where id not in {?t b}}`},
	{"a join to what a function gives",
		`Select(` + id + `,where=Join(PROP('x')),QueryOp.functions.getOp((None, 'lower'),Project([2],'m',None,False))),END),JoinConditionOp(Join(PROP('b'))),END),name='t'),'t','i','#@7'),name='m'))`,
		`{?m id where lower(x) = {?t b}}`},
	{"what a function gives, as a condition", `Select(` + id + `,where=Join(PROP('x')),QueryOp.functions.getOp((None, 'bool'),Project([2],None,None,False))),END)))`, `{id where bool(x)}`},
	{"labels of columns that are other row sets",
		`Select(` + id + `,where=Join(PROP('x')),objectlabel=['x', 'o'],subjectlabel=['#0', 's']),END)))`, `{id where x and id = ?s and x = ?o}`},
	{"a name that only another row set has",
		`Select(Construct([ConstructProp('b',Project(['b'],None,True,False),GIVEN),SELF]),where=Join(JoinConditionOp(Join(PROP('b')),objectlabel=['b']),END),name='t'),'t','i','a')))`,
		`{'b' : ?t.b where a = {?t b}}`},
	{"a label, and a construct named by one",
		`Select(Construct([ConstructProp('o',Label('o'),GIVEN),ConstructProp('n',Project(['n'],'o',True,True),GIVEN),ConstructProp('i',Project([0],'o',None,False),GIVEN),ConstructSubject('id',Label('m'))]))`,
		`{?m 'o' : ?o, 'n' : maybe ?o.n, 'i' : ?o.id}`},
	{"functions", `Select(Construct([ConstructProp('f',QueryOp.functions.getOp((None, 'follow'),Project([0],None,None,False),PropString('p'),Constant(True),Constant(False)),GIVEN),
		ConstructProp('n',QueryOp.functions.getOp((None, 'negate'),Project(['a'],None,None,False)),GIVEN),SELF]))`, `{'f' : follow(id, p, true, false), 'n' : -a}`},
	{"groups", `Select(Construct([ConstructProp(None,Project(['k'],None,False,False),SHOWN),ConstructProp('c',QueryOp.functions.getOp((None, 'count'),Project(['*'],None,None,False)),GIVEN),SELF]),
		groupby=GroupBy(Project(['k'],None,None,False), 'k'))`, `{k, 'c' : count(*) group by k}`},
	{"order and limits", `Select(` + id + `,limit=2,offset=1,depth=3,orderby=OrderBy(SortExp(Project(['a'],None,None,True), False),SortExp(Project([0],None,None,False), True)))`,
		`{id order by a, id desc limit 2 offset 1 depth 3}`},
	{"a namemap", `Select(` + id + `,namemap={'refpattern': '!(URIREF)', 'sharedpatterns': {'a:': 'b'}})`, `{id namemap = {"refpattern":"!(URIREF)","sharedpatterns":{"a:":"b"}}}`},
	{"a construct inside", `Select(Construct([ConstructProp('k',Select(Construct([ConstructProp(None,Project(['a'],None,True,False),SHOWN),ConstructSubject('id',Label('t'))])),'usenull','uselist',False,None),SELF]))`,
		`{'k' : [{?t a}]}`},
}

// withoutPlaces sets to zero what says where things are.
func withoutPlaces(v reflect.Value) {
	switch v.Kind() {
	default:
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			withoutPlaces(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			withoutPlaces(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name == "At" || name == "NamemapAt" {
				v.Field(i).SetInt(0)
				continue
			}
			withoutPlaces(v.Field(i))
		}
	}
}

func shown(t *testing.T, c *syntax.Construct) string {
	t.Helper()
	withoutPlaces(reflect.ValueOf(c))
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAPrintedTreeIsTheTreeOfTheTextThatAsksForTheSame(t *testing.T) {
	for _, c := range same {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(shorthand.Replace(c.repr))
			if err != nil {
				t.Fatal(err)
			}
			label := ""
			text := c.text
			if rest, ok := strings.CutPrefix(text, "{?@1"); ok {
				label, text = "@1", "{"+rest // a label that no text can have
			}
			want, err := syntax.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			want.Root.Label += label
			if got.Text = want.Text; !reflect.DeepEqual(got.Skipped, want.Skipped) || !equal(got.Root, want.Root) {
				t.Errorf("%s\n got %s\nwant %s", c.text, shown(t, got.Root), shown(t, want.Root))
			}
			if _, err := resolve.Resolve(got); err != nil && !strings.HasPrefix(c.name, "labels of") {
				t.Errorf("it has no meaning: %v", err)
			}
		})
	}
}

func equal(a, b *syntax.Construct) bool {
	withoutPlaces(reflect.ValueOf(a))
	withoutPlaces(reflect.ValueOf(b))
	return reflect.DeepEqual(a, b)
}

func TestPlacesAreBytesOfThePrintedTree(t *testing.T) {
	text := shorthand.Replace("Select(Construct([ConstructProp('k',Label('x'),GIVEN),SELF]))")
	q, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if at := q.Root.Items[0].Value.Place(); !strings.HasPrefix(text[at:], "Label('x')") || q.Text != text {
		t.Errorf("the label is at byte %d of %q", at, q.Text)
	}
}

func TestWhatIsNotUnderstoodIsRefusedWithItsPlace(t *testing.T) {
	item := func(value string) string { return "Select(Construct([ConstructProp('k'," + value + ",GIVEN),SELF]))" }
	where := func(part string) string { return "Select(" + id + ",where=Join(" + part + "))" }
	for text, want := range map[string]string{
		"":                                    "a value should be here",
		"'text'":                              "the text is no operation",
		"Select()":                            "no selection",
		"Join()":                              "no selection",
		"Select(Construct([]),":               "a value should be here",
		"Select(Construct([SELF])":            "a comma or )",
		"Select(Construct([SELF])) more":      "should end here",
		"Select(Construct([Label('x')]))":     "neither a property",
		"Select(Construct(['x]))":             "has no end",
		`Select(Construct(['\q']))`:           "cannot be read",
		"Select(Construct([SELF]),limit='x')": "no whole number",
		"Select(Construct([SELF]),limit=1,limit=2)":                              "has limit twice",
		"Select(Construct([SELF]),namemap={1})":                                  "a colon",
		"Select(Construct([SELF]),where=Label('x'))":                             "no condition",
		"Select(Construct([SELF]),orderby=OrderBy(Label('x')))":                  "no key of an order",
		"Select(Construct([ConstructProp('k',None,GIVEN)]))":                     "no value",
		"Select(Construct([ConstructProp(None,Label('x'),GIVEN)]))":              "no name",
		"Select(Construct([ConstructProp('k',Label('x'),'uselist','nolist')]))":  "no form",
		item("Frobnicate(Label('x'))"):                                           "Frobnicate of 1",
		item("Project([1],None,None,False)"):                                     "no meaning here",
		item("Project([],None,None,False)"):                                      "no property",
		item("Constant([1])"):                                                    "not supported",
		item("QueryOp.functions.getOp((None, 'follow'),Label('x'))"):             "follows no property",
		item("QueryOp.functions.getOp(Label('x'))"):                              "has no name",
		where("Label('x')"):                                                      "nothing that is joined",
		where("JoinConditionOp(Filter(),2,'i',0)"):                               "anything but the id",
		where("JoinConditionOp(Join(name='t'),'t','r',0)"):                       `kind "r"`,
		where("JoinConditionOp(Join(name='t'),'b','l',0)"):                       "joining by column b",
		where("JoinConditionOp(Join(name='t'),'t','i',2)"):                       "joining to column 2",
		where("JoinConditionOp(Join(name='t'),'t','i','#@1')"):                   "one of 0 values",
		where("PROP('a')),Eq(Project([2],None,None,False),Constant(1))),OUTER)"): "need not hold",
		strings.Repeat("[", 200):                                                 "nested more than",
	} {
		_, err := Parse(shorthand.Replace(text))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "at byte ") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzParse holds that no text breaks the reader, and that what it reads has a
// meaning or is refused.
func FuzzParse(f *testing.F) {
	for _, c := range same {
		f.Add(shorthand.Replace(c.repr))
	}
	f.Fuzz(func(_ *testing.T, text string) {
		if q, err := Parse(text); err == nil {
			_, _ = resolve.Resolve(q)
		}
	})
}
