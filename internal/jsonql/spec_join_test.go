package jsonql_test

import "testing"

// guild has masters, apprentices of one, two and no masters, and a town.
const guild = `[
	{"id":"m1","master":"Max","town":"@ulm","since":3},{"id":"m2","master":"Mia","town":"@ulm","since":1},
	{"id":"a1","pupil":"Abe","of":"@m1","since":3},{"id":"a2","pupil":"Bea","of":["@m1","@m2"],"since":2},{"id":"a3","pupil":"Col"},
	{"id":"a4","pupil":"Dot","of":"@m9","since":9},
	{"id":"ulm","place":"Ulm","code":3},{"id":"bonn","place":"Bonn","code":7}
]`

func TestALabelNamesASetOfObjects(t *testing.T) {
	tells(t, guild, []told{
		{name: "that of the construct", query: `{?m master where ?m.since = 1}`, want: `[{"master":"Mia"}]`},
		{name: "by its id", query: `{master where id = ?m and ?m.since = 1}`, want: `[{"master":"Mia"}]`},
		{name: "the same twice", query: `{?m, master, 'a' : ?m, 'b' : ?m.id, 'c' : ?m.since where ?m = @m1}`, want: `[{"master":"Max","a":"@m1","b":"@m1","c":3}]`},
		{name: "a set in the condition", query: `{'m' : ?m.master where {?m master and since = 1}}`, want: `[{"m":"Mia"}]`},
		{name: "two names of one set", query: `{?m master, 's' : ?n.since where ?m = ?n and ?n.since > 2}`, want: `[{"master":"Max","s":3}]`},
		{name: "one that is called as a property is", query: `{?master master where ?master.since = 1 order by master}`, want: `[{"master":"Mia"}]`},
		{name: "a name of an item that is a property of the join", query: `{pupil, 'of' : ?m.master where of = ?m and pupil = 'Abe' order by of}`, want: `[{"pupil":"Abe","of":"Max"}]`},
		{name: "a set for its id", query: `(pupil where of = {master = 'Mia'})`, want: `["Bea"]`},
		{name: "a set with a label for its id", query: `{pupil, 'm' : ?m.master where of = {?m, since = 1}}`, want: `[{"pupil":"Bea","m":"Mia"}]`},
	})
}

func TestAnEquationOfTwoSetsJoinsThem(t *testing.T) {
	tells(t, guild, []told{
		{name: "a property and an id", query: `{pupil, 'm' : ?m.master where of = ?m}`, want: `[{"pupil":"Abe","m":"Max"},{"pupil":"Bea","m":["Max","Mia"]}]`},
		{name: "the other way around", query: `{pupil, 'm' : ?m.master where ?m = of}`, want: `[{"pupil":"Abe","m":"Max"},{"pupil":"Bea","m":["Max","Mia"]}]`},
		{name: "two properties", query: `{master, 'p' : ?p.pupil where since = ?p.since}`, want: `[{"master":"Max","p":"Abe"}]`},
		{name: "an id and a property", query: `{master, 'p' : ?p.pupil where id = ?p.of}`, want: `[{"master":"Max","p":["Abe","Bea"]},{"master":"Mia","p":"Bea"}]`},
		{name: "over two steps", query: `{pupil, 't' : ?t.place where of = ?m and ?m.town = ?t and pupil = 'Abe'}`, want: `[{"pupil":"Abe","t":"Ulm"}]`},
		{name: "two equations between two sets", query: `{pupil, 'm' : ?m.master where of = ?m and since = ?m.since}`, want: `[{"pupil":"Abe","m":"Max"}]`},
		{name: "an id without an object, of which nothing is asked", query: `{pupil, 'm' : ?m where of = ?m and since = 9}`, want: `[{"pupil":"Dot","m":"@m9"}]`},
		{name: "by what is not less", query: `{pupil, 'm' : ?m.master where of = ?m and since < ?m.since}`, want: `[{"pupil":"Bea","m":"Max"}]`},
		{name: "a condition in a set on another set", query: `(pupil where of = {?m, town = ?t and ?t.code = since})`, want: `["Abe","Bea"]`},
		{name: "in a list", query: `[pupil, ?m.master where of = ?m and ?m = @m2]`, want: `[["Bea","Mia"]]`},
		{name: "through a function", query: `{code, 'm' : ?m.master where code = number(?m.since)}`, want: `[{"code":3,"m":"Max"}]`},
		{name: "through a reference that is made", query: `{place, 'm' : ?m.master where ?m.town = ref(lower(place))}`, want: `[{"place":"Ulm","m":["Max","Mia"]}]`},
	})
}

func TestAJoinOfListsLooksForAValueInBoth(t *testing.T) {
	tells(t, `[{"id":"a","has":["x","y"]},{"id":"b","has":["z"]},{"id":"c","has":"y"},{"id":"1","wants":["y","w"]},{"id":"2","wants":["w"]},{"id":"3","wants":1,"v":1.0}]`, []told{
		{name: "of different ones", query: `{id, 'at' : ?s.id where wants = ?s.has}`, want: `[{"id":"@1","at":["@a","@c"]}]`},
		{name: "with those that find none", query: `{id, 'at' : [?s.id] where wants and maybe wants = ?s.has}`, want: `[{"id":"@1","at":["@a","@c"]},{"id":"@2","at":[]},{"id":"@3","at":[]}]`},
		{name: "of numbers as numbers", query: `{id, 'at' : ?s.id where wants = ?s.v}`, want: `[{"id":"@3","at":"@3"}]`},
	})
}

func TestMaybeKeepsRowsWithoutAPartner(t *testing.T) {
	tells(t, guild, []told{
		{name: "an absent property and an absent object", query: `{pupil, 'm' : ?m.master where maybe of = ?m}`,
			want: `[{"pupil":"Abe","m":"Max"},{"pupil":"Bea","m":["Max","Mia"]},{"pupil":"Col","m":null},{"pupil":"Dot","m":null}]`},
		{name: "against the reference", query: `{place, 'm' : [?m.master] where maybe ?m.town = id}`, want: `[{"place":"Bonn","m":[]},{"place":"Ulm","m":["Max","Mia"]}]`},
		{name: "over two properties", query: `{place, 'm' : ?m.master where maybe code = ?m.since}`, want: `[{"place":"Bonn","m":null},{"place":"Ulm","m":"Max"}]`},
		{name: "a property that may be absent, without a join", query: `{pupil, maybe since where maybe of}`,
			want: `[{"pupil":"Abe","since":3},{"pupil":"Bea","since":2},{"pupil":"Col","since":null},{"pupil":"Dot","since":9}]`},
	})
	refuses(t, guild, []fault{
		{`(pupil where maybe since = 3)`, "1:14", "maybe can not be used"},
		{`{?m id where maybe ?m = ?n}`, "1:14", "maybe can not be used"},
		{`(place where maybe code = number(?m.since))`, "1:14", "maybe can not be used"},
		{`(place where maybe (code = ?m.since and code = 3))`, "1:14", "maybe can not be used"},
		{`(pupil where maybe upper(pupil) = 'ABE')`, "1:14", "maybe"},
	})
}

func TestSetsWithoutAnEquationAreCombinedEachWithEach(t *testing.T) {
	tells(t, guild, []told{
		{name: "in a construct", query: `{place, 'all' : ?m.master}`, want: `[{"place":"Bonn","all":["Max","Mia"]},{"place":"Ulm","all":["Max","Mia"]}]`},
		{name: "a set that has an object holds", query: `(place where {pupil = 'Abe'})`, want: `["Bonn","Ulm"]`},
		{name: "one that has none does not", query: `(place where {pupil = 'Zoe'})`, want: `[]`},
		{name: "a condition on another set only", query: `(place where ?m.master = 'Max')`, want: `["Bonn","Ulm"]`},
		{name: "that no object meets", query: `(place where ?m.master = 'Moe')`, want: `[]`},
		{name: "a comparison of two sets", query: `{master, 'p' : ?p.pupil where ?p.since < since}`, want: `[{"master":"Max","p":"Bea"}]`},
	})
}

func TestMembershipOfASetIsASemiJoin(t *testing.T) {
	tells(t, guild, []told{
		{name: "each once, however many there are", query: `(pupil where of in {master})`, want: `["Abe","Bea"]`},
		{name: "with a condition", query: `(pupil where of in {since < 2})`, want: `["Bea"]`},
		{name: "none of which", query: `(pupil where of not in {since < 2})`, want: `["Abe","Dot"]`},
		{name: "of ids", query: `(place where id in {code = 7})`, want: `["Bonn"]`},
		{name: "of sets below sets", query: `(pupil where of in {town in {place = 'Ulm'}})`, want: `["Abe","Bea"]`},
	})
}
