"""Languages: the spelling of their tags, their names, and what other conventions call them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

from dragoman.errors import UserError

# The library langcodes (3.5.1, with language_data 1.4.0) was judged for this file, and does not serve:
# - Tags: it changes languages (sh to sr-Latn, tl to fil), drops scripts, and knows no locale (sr_RS@latin).
# - Names: 21 of the 209 below would change, and with them the prompt of the engine openai, which is a part of
#   its version: what the cache holds of them would be translated, and paid for, again.
# - Codes: FLORES takes one language of a macrolanguage (arb_Arab, lvs_Latn, zsm_Latn) and scripts of its own
#   (kor_Hang), so that ISO code and likeliest script miss 29 of its 202. Which languages NLLB and M2M-100
#   know is not in the library at all: the table would stay, only with holes.
# - Matching: it measures how near two languages are; engines ask whether two codes name the same one.
# It also takes 0.14 s to import and 0.28 s for its first name. The table takes half a millisecond.

# RFC 5646, section 2.1, without grandfathered and purely private tags, and without the language subtags of
# four to eight letters: none was ever registered, and "english" would pass as one.
_TAG = re.compile(
    r"(?P<language>[a-z]{2,3})(?P<extended>(-[a-z]{3}){0,3})"
    r"(-(?P<script>[a-z]{4}))?"
    r"(-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<rest>(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(-[a-wyz0-9](-[a-z0-9]{2,8})+)*(-x(-[a-z0-9]{1,8})+)?)",
    re.ASCII | re.IGNORECASE,
)
# A locale of POSIX: pt_BR.UTF-8, sr_RS@latin. Any codeset behind a region, but without one only those that
# are well known: "dog.old" is no language.
_LOCALE = re.compile(
    r"(?P<tag>[a-z]{2,3}([_-][a-z0-9]+)*)((?<=_[a-z]{2})\.[a-z0-9._-]+"
    r"|\.(utf-?8|iso-?8859-?[0-9]+|cp[0-9]+|koi8-?[a-z]|euc-?[a-z]+|gbk?[0-9]*|big5))?(@(?P<modifier>[a-z]+))?",
    re.ASCII | re.IGNORECASE,
)
# What the modifiers of the GNU C library say of the script, or of a variant; "euro" says nothing.
_SCRIPTS = {
    **{"latin": "latn", "cyrillic": "cyrl", "devanagari": "deva", "iqtelif": "latn", "euro": "", "": ""},
    **{script: script for script in ("latn", "cyrl", "deva", "arab", "hans", "hant")},
}
_VARIANTS = ("valencia", "tarask")
# Languages that may stand behind another one (RFC 5646, section 2.2.2). Any other three letters there are a
# country, as in pt-BRA, or a mistake: taken for a language, they would be one that nobody meant.
_EXTENDED = {
    "zh": "cdo cjy cmn cnp cpx csp czh czo gan hak hsn lzh mnp nan wuu yue",
    "ar": "aao abh abv acm acq acw acx acy adf aeb aec afb ajp apc apd arb arq ars ary arz auz avl ayh "
    "ayl ayn ayp bbz pga shu ssh",
    "ms": "bjn btj bve bvu coa dup hji jak jax kvb kvr kxd lce lcf liw max meo mfa mfb min mqg msi mui "
    "orn ors pel pse tmw urk vkk vkt xmm zlm zmi zsm",
    "sw": "swc swh",
    "uz": "uzn uzs",
    "lv": "ltg lvs",
    "kok": "gom knn",
}


def _pairs(text: str) -> dict[str, str]:
    """Read `old=new old=new …`."""
    return {old: new for old, _, new in (pair.partition("=") for pair in text.split())}


# Whole tags that stand for others: those of before RFC 4646 (section 2.2.8 of RFC 5646), and Microsoft's
# names of the two ways in which Chinese is written.
_WHOLE = _pairs("""
art-lojban=jbo en-gb-oed=en-gb-oxendict no-bok=nb no-nyn=nn zh-min-nan=nan zh-guoyu=zh zh-hakka=hak
zh-xiang=hsn i-ami=ami i-bnn=bnn i-hak=hak i-klingon=tlh i-lux=lb i-navajo=nv i-pwn=pwn i-tao=tao
i-tay=tay i-tsu=tsu zh-chs=zh-hans zh-cht=zh-hant
""")
# Codes that were withdrawn (IANA registry: Deprecated, Preferred-Value), the bibliographic ones of ISO 639-2,
# which libraries still write, and those of ISO 639-2 and 639-3 for which the table has no row.
_WITHDRAWN = _pairs("""
iw=he in=id ji=yi jw=jv mo=ro mol=ro scc=sr scr=hr ekk=et alb=sq arm=hy baq=eu bur=my chi=zh cze=cs
dut=nl fre=fr geo=ka ger=de gre=el ice=is mac=mk mao=mi may=ms per=fa rum=ro slo=sk tib=bo wel=cy
aar=aa abk=ab ava=av ave=ae bis=bi cha=ch che=ce chu=cu chv=cv cor=kw cos=co cre=cr div=dv glv=gv
her=hz hmo=ho ido=io iii=ii iku=iu ile=ie ina=ia ipk=ik kal=kl kau=kr kom=kv kua=kj kur=ku lub=lu
mah=mh nau=na nav=nv nbl=nr nde=nd ndo=ng nor=no oji=oj oss=os pli=pi tah=ty ton=to ven=ve vol=vo
wln=wa zha=za
""")
_REGIONS = {"uk": "gb", "bu": "mm", "dd": "de", "fx": "fr", "tp": "tl", "yd": "ye", "zr": "cd"}


@lru_cache(maxsize=4096)
def canonical_tag(tag: str) -> str:
    """Return the one form in which a tag is stored and compared; that form is its own.

    Takes BCP 47 in any case and with underscores (`pt_br` gives `pt-BR`), locales of POSIX (`sr_RS@latin`
    gives `sr-Latn-RS`), codes of ISO 639-2 and 639-3 where a shorter one exists (`eng` gives `en`,
    `cmn-Hant` gives `zh-Hant`), withdrawn codes and tags (`iw` gives `he`, `i-lux` gives `lb`, `en-UK` gives
    `en-GB`), and FLORES codes (`por_Latn` gives `pt`). A language is never changed for a near one: `no`,
    `fil` and `zh-TW` stay. Raises ValueError for any other text, also for a country of three letters
    (`pt-BRA`).
    """
    text = tag.strip()
    text = _WHOLE.get(text.lower().replace("_", "-"), text)
    locale = _LOCALE.fullmatch(text)
    given = (locale["tag"] if locale else "").lower()
    modifier = ((locale["modifier"] if locale else None) or "").lower()
    # With an underscore only: "por-Latn" is BCP 47, and keeps what its writer said of the script.
    if not modifier and "_" in given and given in _other_codes():
        return _rows()[_other_codes()[given]].tag
    match = _TAG.fullmatch(given.replace("_", "-"))
    code = "" if match is None else _code(match["language"], match["extended"])
    if match is None or not code or modifier not in {*_SCRIPTS, *_VARIANTS}:
        raise ValueError(
            f"lang is {tag!r}, but a BCP 47 tag such as 'en', 'pt-BR' or 'zh-Hant' was expected."
        )
    language, _, own_script = (
        _rows()[_other_codes()[code]].tag.partition("-") if code in _other_codes() else (code, "", "")
    )
    script = match["script"] or _SCRIPTS.get(modifier) or own_script
    region = match["region"] and _REGIONS.get(match["region"], match["region"])
    return (
        language
        + (f"-{script.title()}" if script else "")
        + (f"-{region.upper()}" if region else "")
        + (f"-{modifier}" if modifier in _VARIANTS else "")
        + match["rest"]
    )


def _code(language: str, extended: str) -> str:
    """The code that stands for a language, or for the one that follows it; "" where none may follow."""
    if extended:
        # RFC 5646, section 4.5: an extended subtag stands for the language, zh-yue for yue.
        before = canonical_tag(language)
        language = extended.rpartition("-")[2]
        if language not in _EXTENDED.get(before, "").split():
            return ""
    return _WITHDRAWN.get(language, language)


def comparable(tag: str) -> str:
    """Return the canonical tag, or the text itself where it is none: a search for it then finds nothing."""
    try:
        return canonical_tag(tag)
    except ValueError:
        return tag


@dataclass(frozen=True, slots=True)
class Language:
    """One language. `flores` and `m2m` are null where that model family does not know it."""

    tag: str
    """`canonical_tag` of what was asked for: a region is kept ("pt-BR")."""
    iso3: str
    flores: str | None
    m2m: str | None
    name: str
    row: str = field(default="", compare=False)
    """Tag of its row in the table, under which models may know it: "nb" for "no", "zh-Hant" for "zh-TW"."""


def language(tag: str) -> Language:
    """The language of a tag, in any spelling that `canonical_tag` takes; its `tag` is the canonical one.

    A region that the table does not know falls back to its parent, and so does a script, under which neither
    model family knows the language then. Raises UserError with close matches where nothing fits.
    """
    try:
        wanted = canonical_tag(tag)
    except ValueError:
        raise UserError(f"Unknown language {tag!r}. {_suggest(tag.lower())}") from None
    rows, pieces = _rows(), wanted.lower().split("-")
    # From the whole tag down to its language: zh-Hant has a row of its own, pt-BR shares that of pt, and
    # no-NO that of nb.
    for length in range(len(pieces), 0, -1):
        key = "-".join(pieces[:length])
        found = rows.get(_ALIASES.get(key, key))
        if found:
            if _other_script(found, pieces[1:]):
                found = replace(found, flores=None, m2m=None)
            return replace(found, tag=wanted)
    raise UserError(f"Unknown language {tag!r}. {_suggest(tag.lower())}")


def language_name(tag: str) -> str:
    """Say a BCP 47 tag with its English name, or the tag alone where that is not known."""
    try:
        return f"{language(tag).name} ({tag})"
    except UserError:
        return tag


def tag_named(name: str) -> str | None:
    """Find the tag of a language by its English name, in any case; None for an unknown one."""
    return next((row.tag for row in _rows().values() if row.name.lower() == name.strip().lower()), None)


def _other_script(row: Language, subtags: list[str]) -> bool:
    """Tell whether the subtags name another script than the one in which models write the language."""
    script = next((subtag for subtag in subtags[:1] if len(subtag) == 4 and subtag.isalpha()), None)
    # FLORES calls the Korean script by its letters alone. Without a FLORES code nothing is known.
    own = row.flores and row.flores[4:].lower().replace("hang", "kore")
    return script is not None and own is not None and script != own


def same_language(left: str, right: str) -> bool:
    """Tell whether two codes of any of the conventions name one language, regions and variants aside."""
    return _plain(left).iso3 == _plain(right).iso3


def _plain(code: str) -> Language:
    # The first piece alone: Apertium's own variants (por_BR, cat_valencia) are no tags.
    return language(re.split("[-_]", code)[0])


def _suggest(wanted: str) -> str:
    known = {row.name.lower(): row.tag for row in _rows().values()} | {tag: tag for tag in _rows()}
    close = dict.fromkeys(known[match] for match in difflib.get_close_matches(wanted, known, 3, 0.6))
    described = ", ".join(f"{tag} ({_rows()[tag.lower()].name})" for tag in close)
    tags = "Give a BCP 47 tag such as pt, gl or zh-Hant"
    return f"Did you mean {described}? {tags}." if close else f"{tags}."


@cache
def _rows() -> dict[str, Language]:
    rows = (line.split(maxsplit=4) for line in _TABLE.strip().splitlines())
    return {
        tag.lower(): Language(tag, iso3, _known(flores), _known(m2m), name, tag)
        for tag, iso3, flores, m2m, name in rows
    }


@cache
def _other_codes() -> dict[str, str]:
    """ISO 639-3 and FLORES codes that are no tags themselves, to the key of their row."""
    # The table says "zho" of Chinese, of which Mandarin is what its captions are in.
    codes: dict[str, str] = {"cmn": "zh"}
    for key, row in _rows().items():
        for code in (row.iso3, *((row.flores.lower(), row.flores[:3]) if row.flores else ())):
            codes.setdefault(code, key)
    return {code: key for code, key in codes.items() if code not in _rows()}


def _known(code: str) -> str | None:
    return None if code == "-" else code


# Tags that have the row of another one: macrolanguages, and regions that stand for a script.
_ALIASES = {
    "no": "nb",
    "zh-hans": "zh",
    "zh-tw": "zh-hant",
    "zh-hk": "zh-hant",
    "zh-mo": "zh-hant",
    "fil": "tl",
}
# tag, ISO 639-3, FLORES-200, M2M-100, name. From the language lists of NLLB-200 and M2M-100; ISO 639-3 serves
# Apertium, Marian and MADLAD. "-" where a family does not know the language.
_TABLE = """
ace      ace ace_Latn -   Acehnese
ace-Arab ace ace_Arab -   Acehnese (Arab)
acm      acm acm_Arab -   Mesopotamian Arabic
acq      acq acq_Arab -   Ta'izzi-Adeni Arabic
aeb      aeb aeb_Arab -   Tunisian Arabic
af       afr afr_Latn af  Afrikaans
ajp      ajp ajp_Arab -   South Levantine Arabic
ak       aka aka_Latn -   Akan
am       amh amh_Ethi am  Amharic
an       arg -        -   Aragonese
apc      apc apc_Arab -   North Levantine Arabic
ar       ara arb_Arab ar  Arabic
ars      ars ars_Arab -   Najdi Arabic
ary      ary ary_Arab -   Moroccan Arabic
arz      arz arz_Arab -   Egyptian Arabic
as       asm asm_Beng -   Assamese
ast      ast ast_Latn ast Asturian
awa      awa awa_Deva -   Awadhi
ay       aym ayr_Latn -   Aymara
az       aze azj_Latn az  Azerbaijani
azb      azb azb_Arab -   South Azerbaijani
ba       bak bak_Cyrl ba  Bashkir
ban      ban ban_Latn -   Balinese
be       bel bel_Cyrl be  Belarusian
bem      bem bem_Latn -   Bemba
bg       bul bul_Cyrl bg  Bulgarian
bho      bho bho_Deva -   Bhojpuri
bjn      bjn bjn_Latn -   Banjar
bjn-Arab bjn bjn_Arab -   Banjar (Arab)
bm       bam bam_Latn -   Bambara
bn       ben ben_Beng bn  Bengali
bo       bod bod_Tibt -   Tibetan
br       bre -        br  Breton
bs       bos bos_Latn bs  Bosnian
bug      bug bug_Latn -   Buginese
ca       cat cat_Latn ca  Catalan
ceb      ceb ceb_Latn ceb Cebuano
cjk      cjk cjk_Latn -   Chokwe
ckb      ckb ckb_Arab -   Central Kurdish
crh      crh crh_Latn -   Crimean Tatar
cs       ces ces_Latn cs  Czech
cy       cym cym_Latn cy  Welsh
da       dan dan_Latn da  Danish
de       deu deu_Latn de  German
dik      dik dik_Latn -   Dinka
dyu      dyu dyu_Latn -   Dyula
dz       dzo dzo_Tibt -   Dzongkha
ee       ewe ewe_Latn -   Ewe
el       ell ell_Grek el  Greek
en       eng eng_Latn en  English
eo       epo epo_Latn -   Esperanto
es       spa spa_Latn es  Spanish
et       est est_Latn et  Estonian
eu       eus eus_Latn -   Basque
fa       fas pes_Arab fa  Persian
ff       ful fuv_Latn ff  Fulah
fi       fin fin_Latn fi  Finnish
fj       fij fij_Latn -   Fijian
fo       fao fao_Latn -   Faroese
fon      fon fon_Latn -   Fon
fr       fra fra_Latn fr  French
fur      fur fur_Latn -   Friulian
fy       fry -        fy  Western Frisian
ga       gle gle_Latn ga  Irish
gd       gla gla_Latn gd  Scottish Gaelic
gl       glg glg_Latn gl  Galician
gn       grn grn_Latn -   Guarani
gu       guj guj_Gujr gu  Gujarati
ha       hau hau_Latn ha  Hausa
he       heb heb_Hebr he  Hebrew
hi       hin hin_Deva hi  Hindi
hne      hne hne_Deva -   Chhattisgarhi
hr       hrv hrv_Latn hr  Croatian
ht       hat hat_Latn ht  Haitian Creole
hu       hun hun_Latn hu  Hungarian
hy       hye hye_Armn hy  Armenian
id       ind ind_Latn id  Indonesian
ig       ibo ibo_Latn ig  Igbo
ilo      ilo ilo_Latn ilo Ilocano
is       isl isl_Latn is  Icelandic
it       ita ita_Latn it  Italian
ja       jpn jpn_Jpan ja  Japanese
jv       jav jav_Latn jv  Javanese
ka       kat kat_Geor ka  Georgian
kab      kab kab_Latn -   Kabyle
kac      kac kac_Latn -   Jingpho
kam      kam kam_Latn -   Kamba
ks       kas kas_Arab -   Kashmiri
ks-Deva  kas kas_Deva -   Kashmiri (Deva)
kbp      kbp kbp_Latn -   Kabiye
kea      kea kea_Latn -   Kabuverdianu
kg       kon kon_Latn -   Kikongo
ki       kik kik_Latn -   Kikuyu
kk       kaz kaz_Cyrl kk  Kazakh
km       khm khm_Khmr km  Khmer
kmb      kmb kmb_Latn -   Kimbundu
kn       kan kan_Knda kn  Kannada
knc      knc knc_Latn -   Central Kanuri
knc-Arab knc knc_Arab -   Central Kanuri (Arab)
ko       kor kor_Hang ko  Korean
ku       kmr kmr_Latn -   Northern Kurdish
ky       kir kir_Cyrl -   Kyrgyz
la       lat -        -   Latin
lb       ltz ltz_Latn lb  Luxembourgish
lg       lug lug_Latn lg  Ganda
li       lim lim_Latn -   Limburgish
lij      lij lij_Latn -   Ligurian
lmo      lmo lmo_Latn -   Lombard
ln       lin lin_Latn ln  Lingala
lo       lao lao_Laoo lo  Lao
lt       lit lit_Latn lt  Lithuanian
ltg      ltg ltg_Latn -   Latgalian
lua      lua lua_Latn -   Luba-Kasai
luo      luo luo_Latn -   Luo
lus      lus lus_Latn -   Mizo
lv       lav lvs_Latn lv  Latvian
mag      mag mag_Deva -   Magahi
mai      mai mai_Deva -   Maithili
mg       mlg plt_Latn mg  Malagasy
mi       mri mri_Latn -   Maori
min      min min_Latn -   Minangkabau
mk       mkd mkd_Cyrl mk  Macedonian
ml       mal mal_Mlym ml  Malayalam
mn       mon khk_Cyrl mn  Mongolian
mni      mni mni_Beng -   Meitei
mos      mos mos_Latn -   Mossi
mr       mar mar_Deva mr  Marathi
ms       msa zsm_Latn ms  Malay
mt       mlt mlt_Latn -   Maltese
my       mya mya_Mymr my  Burmese
nb       nob nob_Latn no  Norwegian Bokmål
ne       nep npi_Deva ne  Nepali
nl       nld nld_Latn nl  Dutch
nn       nno nno_Latn -   Norwegian Nynorsk
nso      nso nso_Latn ns  Northern Sotho
nus      nus nus_Latn -   Nuer
ny       nya nya_Latn -   Nyanja
oc       oci oci_Latn oc  Occitan
om       orm gaz_Latn -   Oromo
or       ori ory_Orya or  Odia
pa       pan pan_Guru pa  Punjabi
pag      pag pag_Latn -   Pangasinan
pap      pap pap_Latn -   Papiamento
pl       pol pol_Latn pl  Polish
prs      prs prs_Arab -   Dari
ps       pus pbt_Arab ps  Pashto
pt       por por_Latn pt  Portuguese
qu       que quy_Latn -   Quechua
rm       roh -        -   Romansh
rn       run run_Latn -   Rundi
ro       ron ron_Latn ro  Romanian
ru       rus rus_Cyrl ru  Russian
rw       kin kin_Latn -   Kinyarwanda
sa       san san_Deva -   Sanskrit
sat      sat sat_Beng -   Santali
sc       srd srd_Latn -   Sardinian
scn      scn scn_Latn -   Sicilian
sd       snd snd_Arab sd  Sindhi
se       sme -        -   Northern Sami
sg       sag sag_Latn -   Sango
sh       hbs -        -   Serbo-Croatian
shn      shn shn_Mymr -   Shan
si       sin sin_Sinh si  Sinhala
sk       slk slk_Latn sk  Slovak
sl       slv slv_Latn sl  Slovenian
sm       smo smo_Latn -   Samoan
sn       sna sna_Latn -   Shona
so       som som_Latn so  Somali
sq       sqi als_Latn sq  Albanian
sr       srp srp_Cyrl sr  Serbian
ss       ssw ssw_Latn ss  Swati
st       sot sot_Latn -   Southern Sotho
su       sun sun_Latn su  Sundanese
sv       swe swe_Latn sv  Swedish
sw       swa swh_Latn sw  Swahili
szl      szl szl_Latn -   Silesian
ta       tam tam_Taml ta  Tamil
taq      taq taq_Latn -   Tamasheq
taq-Tfng taq taq_Tfng -   Tamasheq (Tfng)
te       tel tel_Telu -   Telugu
tg       tgk tgk_Cyrl -   Tajik
th       tha tha_Thai th  Thai
ti       tir tir_Ethi -   Tigrinya
tk       tuk tuk_Latn -   Turkmen
tl       tgl tgl_Latn tl  Tagalog
tn       tsn tsn_Latn tn  Tswana
tpi      tpi tpi_Latn -   Tok Pisin
tr       tur tur_Latn tr  Turkish
ts       tso tso_Latn -   Tsonga
tt       tat tat_Cyrl -   Tatar
tum      tum tum_Latn -   Tumbuka
tw       twi twi_Latn -   Twi
tzm      tzm tzm_Tfng -   Central Atlas Tamazight
ug       uig uig_Arab -   Uyghur
uk       ukr ukr_Cyrl uk  Ukrainian
umb      umb umb_Latn -   Umbundu
ur       urd urd_Arab ur  Urdu
uz       uzb uzn_Latn uz  Uzbek
vec      vec vec_Latn -   Venetian
vi       vie vie_Latn vi  Vietnamese
war      war war_Latn -   Waray
wo       wol wol_Latn wo  Wolof
xh       xho xho_Latn xh  Xhosa
yi       yid ydd_Hebr yi  Yiddish
yo       yor yor_Latn yo  Yoruba
yue      yue yue_Hant -   Cantonese
zh       zho zho_Hans zh  Chinese
zh-Hant  zho zho_Hant zh  Chinese (Hant)
zu       zul zul_Latn zu  Zulu
"""
