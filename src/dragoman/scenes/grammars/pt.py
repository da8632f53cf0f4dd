"""Portuguese captions, mostly in the words of Brazil."""

from __future__ import annotations

from dragoman.scenes.grammars._frames import Frame
from dragoman.scenes.grammars._romance import Romance

PORTUGUESE = Romance(
    nouns={
        "apple": ("maçã maçãs f",),
        "ball": ("bola bolas f",),
        "bird": ("pássaro pássaros m", "passarinho passarinhos m small"),
        "boat": ("barco barcos m", "barquinho barquinhos m small"),
        "book": ("livro livros m",),
        "box": ("caixa caixas f",),
        "car": ("carro carros m", "automóvel automóveis m"),
        "chair": ("cadeira cadeiras f",),
        "cup": ("xícara xícaras f", "caneca canecas f"),
        "fish": ("peixe peixes m", "peixinho peixinhos m small"),
        "flower": ("flor flores f",),
        "hat": ("chapéu chapéus m",),
        "house": ("casa casas f", "casinha casinhas f small"),
        "star": ("estrela estrelas f",),
        "tree": ("árvore árvores f",),
        "umbrella": ("guarda-chuva guarda-chuvas m",),
    },
    colours={
        "black": ("preto preta pretos pretas",),
        "blue": ("azul azuis",),
        "brown": ("marrom marrons", "castanho castanha castanhos castanhas"),
        "green": ("verde verdes",),
        "orange": ("laranja", "alaranjado alaranjada alaranjados alaranjadas"),
        "pink": ("rosa", "cor-de-rosa"),
        "purple": ("roxo roxa roxos roxas", "roxo roxa roxos roxas", "lilás lilases"),
        "red": ("vermelho vermelha vermelhos vermelhas",),
        "white": ("branco branca brancos brancas",),
        "yellow": ("amarelo amarela amarelos amarelas",),
    },
    sizes={
        "small": ("pequeno pequena pequenos pequenas", "<pequeno pequena pequenos pequenas"),
        "big": ("grande grandes", "<grande grandes"),
    },
    numerals={1: "um uma", 2: "dois duas", 3: "três"},
    some=("uns umas", "alguns algumas"),
    link=" e ",
    grounds={
        "beach": ("na praia", "na areia"),
        "meadow": ("em um gramado", "na grama", "num campo"),
        "room": ("num quarto", "em uma sala", "dentro de casa"),
        "snow": ("na neve", "numa paisagem de neve"),
        "street": ("na rua", "em uma estrada"),
    },
    places={
        "left": ("à esquerda", "do lado esquerdo", "no canto esquerdo"),
        "right": ("à direita", "do lado direito", "no canto direito"),
        "top": ("em cima", "na parte de cima", "no alto"),
        "bottom": ("embaixo", "na parte de baixo"),
        "centre": ("no centro", "no meio"),
    },
    relations={
        "left": ("à esquerda de", "do lado esquerdo de"),
        "right": ("à direita de", "do lado direito de"),
        "above": ("acima de", "em cima de", "sobre"),
        "below": ("abaixo de", "embaixo de", "debaixo de"),
    },
    frames=(
        Frame("{what} {where}"),
        Frame("{what} {where}"),
        Frame("há {what} {where}."),
        Frame("{where} tem {what}."),
        Frame("{where} vê-se {what}.", "{where} veem-se {what}."),
        Frame("uma foto de {what} {where}"),
        Frame("{what}"),
        Frame("há {what}."),
        Frame("vê-se {what}.", "veem-se {what}."),
        Frame("uma foto de {what}"),
    ),
    events={
        "appear": ("aparece|aparecem|", "surge|surgem|do nada"),
        "disappear": ("desaparece|desaparecem|", "some|somem|"),
        "left": ("se move|se movem|para a esquerda", "vai|vão|da direita para a esquerda"),
        "right": ("se move|se movem|para a direita", "vai|vão|da esquerda para a direita"),
        "up": ("se move|se movem|para cima", "sobe|sobem|"),
        "down": ("se move|se movem|para baixo", "desce|descem|"),
        "clockwise": ("gira|giram|no sentido horário", "gira|giram|no sentido dos ponteiros do relógio"),
        "anticlockwise": (
            "gira|giram|no sentido anti-horário",
            "gira|giram|no sentido contrário ao dos ponteiros do relógio",
        ),
        "meet": ("|se encontram|", "|se aproximam|"),
        "part": ("|se separam|", "|se afastam|"),
    },
    event_frames=(
        Frame("{what} {verb} {how} {where}."),
        Frame("{where}, {what} {verb} {how}."),
        Frame("um vídeo em que {what} {verb} {how} {where}"),
        Frame("{what} {verb} {how}."),
        Frame("um vídeo em que {what} {verb} {how}"),
    ),
)

caption = PORTUGUESE.caption
