"""Languages: the spelling of their tags, their names, and what other conventions call them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache, lru_cache

from dragoman.errors import UserError

# The library langcodes (3.5.1, with language_data 1.4.0) was judged for this file, and does not serve:
# - Tags: it changes languages (iw to he, sh to sr-Latn, tl to fil), drops scripts, and takes en_US without a
#   word; a corpus keeps the tag that its captions came with.
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
    r"(?P<language>[a-z]{2,3}(-[a-z]{3}){0,3})"
    r"(-(?P<script>[a-z]{4}))?"
    r"(-(?P<region>[a-z]{2}|[0-9]{3}))?"
    r"(?P<rest>(-([a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*(-[a-wyz0-9](-[a-z0-9]{2,8})+)*(-x(-[a-z0-9]{1,8})+)?)",
    re.ASCII | re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def canonical_tag(tag: str) -> str:
    """Return the tag in its usual case: `PT-br` gives `pt-BR`, `zh-hant` gives `zh-Hant`.

    Raises ValueError where it has not the shape of a BCP 47 tag, with a better spelling where one is plain.
    """
    match = _TAG.fullmatch(tag)
    if match is None:
        better = tag.replace("_", "-").strip()
        hint = f" Write {canonical_tag(better)!r}." if better != tag and _TAG.fullmatch(better) else ""
        raise ValueError(
            f"lang is {tag!r}, but a BCP 47 tag such as 'en', 'pt-BR' or 'zh-Hant' was expected.{hint}"
        )
    script, region = match["script"], match["region"]
    return (
        match["language"].lower()
        + (f"-{script.title()}" if script else "")
        + (f"-{region.upper()}" if region else "")
        + match["rest"].lower()
    )


@dataclass(frozen=True, slots=True)
class Language:
    """One language. `flores` and `m2m` are null where that model family does not know it."""

    tag: str
    """BCP 47, as asked for: a region is kept ("pt-BR")."""
    iso3: str
    flores: str | None
    m2m: str | None
    name: str


def language(tag: str) -> Language:
    """The language of a BCP 47 tag; a region or script that the table does not know falls back to its parent.

    ISO 639-3 ("por") and FLORES ("por_Latn") codes are understood as well and give the same language under
    its BCP 47 tag. Raises UserError with close matches where nothing fits.
    """
    rows = _rows()
    wanted = _ALIASES.get(tag.lower(), tag.lower())
    if wanted in _other_codes():
        return rows[_other_codes()[wanted]]
    pieces = re.split("[-_]", wanted)
    # From the whole tag down to its language: zh-Hant has a row of its own, pt-BR shares that of pt.
    for length in range(len(pieces), 0, -1):
        found = rows.get("-".join(pieces[:length]))
        if found:
            same = length == len(pieces)
            return found if same else Language(tag, found.iso3, found.flores, found.m2m, found.name)
    raise UserError(f"Unknown language {tag!r}. {_suggest(wanted)}")


def same_language(left: str, right: str) -> bool:
    """Tell whether two codes of any of the conventions name one language, regions and variants aside."""
    return language(re.split("[-_]", left)[0]).iso3 == language(re.split("[-_]", right)[0]).iso3


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
        tag.lower(): Language(tag, iso3, _known(flores), _known(m2m), name)
        for tag, iso3, flores, m2m, name in rows
    }


@cache
def _other_codes() -> dict[str, str]:
    """ISO 639-3 and FLORES codes that are no tags themselves, to the key of their row."""
    codes: dict[str, str] = {}
    for key, row in _rows().items():
        for code in (row.iso3, *((row.flores.lower(), row.flores[:3]) if row.flores else ())):
            codes.setdefault(code, key)
    return {code: key for code, key in codes.items() if code not in _rows()}


def _known(code: str) -> str | None:
    return None if code == "-" else code


# Tags that name a row under another one: retired codes, macrolanguages, and regions that stand for a script.
_ALIASES = {
    "no": "nb",
    "iw": "he",
    "in": "id",
    "zh-cn": "zh",
    "zh-hans": "zh",
    "zh-tw": "zh-hant",
    "zh-hk": "zh-hant",
    "fil": "tl",
    "cmn": "zh",
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
kas      kas kas_Arab -   Kashmiri
kas-Deva kas kas_Deva -   Kashmiri (Deva)
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
