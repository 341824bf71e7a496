"""What an unhappy text is about: a table of words per topic in English, Chinese, Spanish and German. Pure."""

from __future__ import annotations

import re

WORDS: dict[str, str] = {
    "delivery": r"""\bdeliver|\bshipping|\bshipment|\bcourier|\barrived? late|\bstill waiting|\blost parcel
        |\bnever arrived
        |物流|快递|发货|送货|配送|还没收到
        |\benv[ií]o|\bentrega|\bpaquete|\btransport|\bno lleg[óa]
        |\bliefer|\bversand|\bpaket|\bzustell""",
    "quality": r"""\bbroken?\b|\bbreaks\b|\bbadly made|\bdefect|\bdamaged|\bfaulty|\buseless|\bpoor quality
        |\bfell apart|\bstopped working
        |质量|坏了|做工|粗糙|异味|破损|瑕疵
        |\brompi[óo]|\broto|\bcalidad|\bdefectuos|\bdañad|\bno funciona
        |\bkaputt|\bdefekt|\bqualität|\bverarbeitet|\bbeschädigt|\bunbrauchbar""",
    "fit": r"""\bruns (?:small|large)|\btoo (?:small|big|tight|large|short|long)|\bwrong size
        |\bdoes(?:n'?t| not) fit|\bsizing
        |尺寸|尺码|偏小|偏大|太小|太大
        |\btalla\b|\bpequeñ|\bdemasiado grande|\bno me queda
        |\bgröße|\bfällt (?:klein|groß)|\bzu (?:klein|groß|eng|weit)|\bpasst nicht""",
    "description": r"""\bnot as described|\bas advertised|\bmisleading|\bwrong (?:item|colou?r|product)|\bfake\b
        |\bcounterfeit
        |不符|描述|假货|色差|发错
        |\bno es como|\bno corresponde|\bfalso|\bengaños
        |\bbeschreibung|\bnicht wie|\bfalsch(?:e|er|es)? |\bfälschung""",
    "price": r"""\boverpriced|\bexpensive|\bwaste of money|\bnot worth|\brip[- ]?off|\bcharged (?:twice|me)
        |\bhidden fee
        |太贵|不值|价格|价钱|浪费钱|多收
        |\bcar[oa]\b|\bprecio|\bp[ée]rdida de dinero|\bno vale
        |\bteuer|\bpreis|\bgeld\b|\bnicht wert""",
    "service": r"""\bcustomer (?:service|support)|\bnobody (?:answers|replies)|\bno (?:answer|reply|response)
        |\brude\b|\bunhelpful|\bon hold
        |客服|态度|没人理|不回复
        |\batenci[óo]n al cliente|\bnadie (?:responde|contesta)|\bsin respuesta
        |\bkundenservice|\bkundendienst|\bkeine antwort|\bniemand (?:antwortet|meldet)|\bunfreundlich""",
    "returns": r"""\brefund|\breturn(?:ing|ed)? (?:it|this|the)|\bmoney back|\bsend (?:it|this) back|\bexchange it
        |退货|退款|换货
        |\bdevol(?:ver|uci)|\breembols
        |\brückgabe|\bzurückgeben|\bgeht zurück|\berstatt|\bumtausch""",
}
"""Alternatives per topic, any language at once: `\\b` begins a word of an alphabet; Chinese has no such border."""
TOPICS = tuple(WORDS)
READ = 2_000
"""Characters of a text that are looked at."""

_EXPRESSIONS = tuple(re.compile(words, re.IGNORECASE | re.VERBOSE) for words in (
    re.sub(r"(?<=\S) (?=\S)", r"\\ ", each) for each in WORDS.values()
))  # fmt: skip


def complained(text: str) -> list[bool]:
    """Per topic of TOPICS whether the text names it. "It broke, I want a refund": quality and returns."""
    text = text[:READ]
    return [expression.search(text) is not None for expression in _EXPRESSIONS]
