"""English words that are no names: what a sentence about a recommendation may begin with and be made of."""

__all__ = ["ARTICLES", "COMMON", "FUNCTION", "NUMBERS"]

ARTICLES = frozenset({"the", "a", "an"})

_FUNCTION = """
about above after again all also although am an and another any are as at be because been before being below both
but by can could did do does for from had has have he her here hers him his how i if in into is it its just like
many may me might mine more most much must my no nor not now of off on once one only or other our ours out over
own she should since so some such than that the their theirs them then there these they this those though through
to too under until up upon us very was we were what when where whether which while who whom whose why will with
without would yes yet you your yours
"""

_COMMON = """
action adventure adventures audience back beautiful best better big boy brings character characters chance choice
classic close comes cool couple crime dark darker day days deep different drama dramatic each easy either emotional
enjoy enjoyed enjoys entertaining epic equally even ever every exciting explore explores family famous fan fans far
fast favorite favourite feature features feel feels few fiction film films find finds first follow follows friend
friends fun funny genre get gets girl give gives given go goes good great group happy hard having heart help high
home human humor humour idea interesting join journey keep kind know known large last later less life light liked little
lives long look looks lot love loved lovers loves made main make makes man men mind mood movie movies music mystery
need never new nice night off often old original part people perfect picture pictures place play plot power quite
reason recommend recommended rich right same scene scenes season see seems sense serious series set shared share
shares show shows side similar simple slow small something sound special spirit star stars still story stories
strong style subject suspense take takes tale tales tell tells tension thing things think three thrilling time times
tone together touch true try turn turns two type understand unique use used want war warm watch watched watching way
well whole wild win woman women work works world worth writing wrong year years young
enthusiasts viewers admirers readers listeners given based thanks despite whatever whoever anyone everyone someone
another nothing everything liking watching loving enjoying asked
come coming youll youre youve youd dont doesnt isnt theyre thats lets hes
shes wont cant
"""

_WORDS = "one two three four five six seven eight nine ten"
_ROMAN = "i ii iii iv v vi vii viii ix x"

FUNCTION = frozenset(_FUNCTION.split())
"""Words that say nothing by themselves."""
COMMON = FUNCTION | frozenset(_COMMON.split())
"""Those, and words that are often said of works."""
_ROWS = list(zip(map(str, range(1, 11)), _WORDS.split(), _ROMAN.split(), strict=True))
NUMBERS: dict[str, tuple[str, ...]] = {form: row for row in _ROWS[1:] for form in row if form not in ("v", "x")}
"""The forms of a number, by each of them: digit, word and Roman; 1 and the letters I, V and X alone are none."""
